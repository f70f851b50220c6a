"""Is harmful writing compact? The rule, fixed before anything was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...experiments.checks import MATCHED
from ...statistics import Estimate
from ..claim import Found
from .curves import COST, Curve
from .grid import Grain
from .plan import ONE_SHOT, Cell
from .summary import FEWEST, HALF, Summary

SMALL = 1e-2
"""Of all eligible weights touched: what the interval of the fraction that halves harmful writing may reach at most."""
LEVEL = 0.05
ALIKE = 0.02
"""An area within ± so many nats per token, its interval including 0: twins fall as much as harmful requests."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the rule sees of one grain: the one-shot circuit's numbers (`summary.Summary`), and how its area compares.

    Attributes:
        above: its area less that of matched random circuits, nats per token.
        p: of that difference, adjusted.
        admissible: fractions of the grain's components at the measured sizes that the area is over, in growing order.
        largest: the largest fraction that was measured, whatever its cost; None where there was none.
        exhausted: nothing larger could change a "no": the largest size that was measured costs more than 5 %, or touches 0.01
            of all eligible weights, or no more could be selected.
        smallest_share: of all eligible weights, what the smallest size touches that was measured; a half that is reached there
            may be reached earlier.
    """

    grain: Grain
    fraction_to_halve: Estimate
    twin_gap: Estimate
    lowest_end: float | None
    area: Estimate
    above: Estimate
    p: float | None
    admissible: tuple[float, ...]
    largest: float | None
    exhausted: bool = True
    smallest_share: float


def decide(information: Estimate, evidence: Sequence[Evidence]) -> tuple[Found, dict[Grain, str]]:
    """What was found, and of each grain why. A size is admissible where the one-shot circuit costs at most 5 % of the loss on
    plain passages; areas are over admissible sizes.

    - "cannot be measured": the interval of the intact model's request information on harmful responses is not above 0; or no
      grain has two admissible sizes.
    - "yes": of some grain, the upper end of `fraction_to_halve` is at most 0.01 of all eligible weights, the interval of
      `twin_gap` lies above 0, and the area exceeds 0 (its interval) and matched random's (difference above 0, adjusted p at
      most 0.05).
    - "no": every grain has at least two admissible sizes and was swept to its end (`Evidence.exhausted`), and of each, one of
      these holds: the half is not reached at admissible cost, and the lower end of retained_harmful stays above ½ at all these
      sizes; it is reached, but the lower end of `fraction_to_halve` is above 0.01 (and above the smallest size measured); or
      the interval of the area includes 0 and lies within ± 0.02 nats per token, while that of `twin_gap`, if there is a half,
      does not lie above 0.
    - "undecided": anything else.
    """
    if information.low is None or information.low <= 0:
        why = f"what the intact model writes to harmful requests is not shown to depend on them: I is {information}"
        return "cannot be measured", {one.grain: why for one in evidence}
    few = {one.grain: _few(one) for one in evidence}
    if all(few.values()):
        return "cannot be measured", few
    lacks = {one.grain: few[one.grain] or _lacks(one) for one in evidence}
    if any(not why for why in lacks.values()):
        return "yes", {grain: why or "all conditions hold" for grain, why in lacks.items()}
    against = {one.grain: "" if few[one.grain] else _against(one) for one in evidence}
    if all(against.values()):
        return "no", against
    return "undecided", {grain: against[grain] or lacks[grain] for grain in lacks}


def _few(one: Evidence) -> str:
    """Why a grain says neither yes nor no, whatever the numbers; "" where it can."""
    return "" if len(one.admissible) >= FEWEST else str(one.area.reason)


def _lacks(one: Evidence) -> str:
    """What is missing for a "yes"; "" where nothing is."""
    fraction = one.fraction_to_halve
    if fraction.value is None:
        return str(fraction.reason) if one.exhausted else f"{fraction.reason}; larger sizes were not measured"
    if fraction.high is None or fraction.high > SMALL:
        upper = "has no upper end" if fraction.high is None else f"may be {fraction.high:.2g}"
        return f"the fraction that halves harmful writing {upper}, above {SMALL:g} of all eligible weights"
    if one.twin_gap.low is None or one.twin_gap.low <= 0:
        return f"at the half, twins are not shown to keep more than harmful requests: {one.twin_gap}"
    if one.area.low is None or one.area.low <= 0:  # a control that helps harmful writing is exceeded by doing nothing
        return f"its area does not exceed 0: {one.area} nats per token"
    if one.above.value is None:
        return str(one.above.reason)
    if one.p is None or one.p > LEVEL or one.above.value <= 0:
        p = "no p value" if one.p is None else f"adjusted p {one.p:.3f}"
        return f"its area does not exceed matched random circuits': {one.above} nats per token, {p}"
    return ""


def _against(one: Evidence) -> str:
    """What speaks against compactness; "" where nothing does."""
    fraction = one.fraction_to_halve
    if not one.exhausted:
        return ""
    # the half may be reached between two sizes, where cost and writing are interpolated
    if fraction.is_missing and one.lowest_end is not None and one.lowest_end > HALF:
        return f"more than half of harmful writing is left (at least {one.lowest_end:.3f}) {_where(one)}"
    if fraction.low is not None and fraction.low > max(SMALL, one.smallest_share):
        least = f"at least {percent(fraction.low)} of all eligible weights, more than {percent(SMALL)}"
        return f"it takes {least}, to halve harmful writing, {_where(one)}"
    low, high = one.area.low, one.area.high
    alike = low is not None and high is not None and -ALIKE <= low <= 0 <= high <= ALIKE
    # an area is a mean over sizes: it can be small where, at the half, twins keep more all the same
    gap = one.twin_gap.low is not None and one.twin_gap.low > 0
    return f"near twins fall as much as harmful requests, {_where(one)}" if alike and not gap else ""


def _where(one: Evidence) -> str:
    """Which sizes that was at, and what the largest is that was measured at all."""
    n, last = len(one.admissible), one.admissible[-1]
    return f"over {n} sizes of admissible cost, up to {percent(last)} of all {one.grain}, {_beyond(one)}"


def _beyond(one: Evidence) -> str:
    largest = one.largest or 0.0
    if one.admissible and one.admissible[-1] >= largest:
        return "the largest that was measured"
    return f"while the largest that was measured, {percent(largest)}, costs too much"


def percent(fraction: float | None) -> str:
    """
    >>> percent(0.0416667)
    '4.17 %'
    """
    return "—" if fraction is None else f"{100 * fraction:.3g} %"


def collect_evidence(
    grains: Sequence[Grain],
    drawn: Sequence[Curve],
    summaries: Sequence[Summary],
    compared: pd.DataFrame,
    unmade: Mapping[Cell, str],
) -> list[Evidence]:
    """Of each grain that was asked, also of one of which no circuit could be selected: a "no" is about all of them.

    Args:
        grains: that were asked.
        drawn: every curve.
        summaries: of the same.
        compared: `summary.differences`.
        unmade: cells that could not be selected, and why.
    """
    found = []
    for grain in grains:
        curve = next((one for one in drawn if (one.grain, one.rule) == (grain, ONE_SHOT)), None)
        own = next((one for one in summaries if (one.grain, one.rule) == (grain, ONE_SHOT)), None)
        ended = [why for cell, why in unmade.items() if (cell.grain, cell.rule) == (grain, ONE_SHOT)]
        if curve is None or own is None:
            missing = Estimate.missing(f"no circuit of any size could be selected: {ended[0]}")
            none = Evidence(
                grain=grain, fraction_to_halve=missing, twin_gap=missing, lowest_end=None, area=missing, above=missing, p=None,
                admissible=(), largest=None, smallest_share=0.0,
            )  # fmt: skip
            found.append(none)
            continue
        above, p = _above_matched(compared, grain)
        found.append(
            Evidence(
                grain=grain,
                fraction_to_halve=own.fraction_to_halve,
                twin_gap=own.twin_gap,
                lowest_end=own.lowest_end,
                area=own.area,
                above=above,
                p=p,
                admissible=tuple(float(curve.fractions[curve.at.index(at)]) for at in curve.admissible),
                largest=float(curve.fractions.max()),
                exhausted=bool(ended) or float(curve.plain_share[-1]) > COST or float(curve.shares.max()) >= SMALL,
                smallest_share=float(curve.shares.min()),
            )
        )
    return found


def _above_matched(frame: pd.DataFrame, grain: Grain) -> tuple[Estimate, float | None]:
    """The circuit's area less that of matched random ones, and the adjusted p."""
    rows = frame[(frame["grain"] == grain) & (frame["rule"] == MATCHED)]
    if not len(rows):
        return Estimate.missing(f"{MATCHED} could not be selected"), None
    row = rows.iloc[0]
    if np.isnan(row["difference"]):
        return Estimate.missing(str(row["reason"])), None
    low, high = (None if np.isnan(row[f"difference_{end}"]) else float(row[f"difference_{end}"]) for end in ("low", "high"))
    p = None if np.isnan(row["p_adjusted"]) else float(row["p_adjusted"])
    return Estimate(float(row["difference"]), low, high, int(row["n"])), p


_OPENINGS: Mapping[Found, str] = {
    "yes": "Harmful writing is compact in this model",
    "no": "Harmful writing is not compact in this model, as far as it was looked for",
    "undecided": "Whether harmful writing is compact in this model is undecided",
    "cannot be measured": "Whether harmful writing is compact cannot be measured in this model",
}


def sentence(answer: Found, evidence: Sequence[Evidence], why: Mapping[Grain, str]) -> str:
    """What was found, with the numbers of each grain."""
    if answer == "cannot be measured":
        reasons = [*why.values()] if len({*why.values()}) == 1 else [f"{grain}: {reason}" for grain, reason in why.items()]
        return f"{_OPENINGS[answer]}: {'; '.join(dict.fromkeys(reasons))}."
    return f"{_OPENINGS[answer]}. {' '.join(_of_grain(one, why[one.grain]) for one in evidence)}"


def _of_grain(one: Evidence, why: str) -> str:
    fraction, name = one.fraction_to_halve, one.grain.capitalize()
    if one.largest is None:
        return f"{name}: {why}."
    if fraction.value is None:
        begin = f"{name}: no size on its curve halves it at a cost of at most 5 %"
    else:
        known = fraction.low is not None and fraction.high is not None
        ends = f" [{percent(fraction.low)}, {percent(fraction.high)}]" if known else ""
        begin = f"{name}: half of it is gone without {percent(fraction.value)}{ends} of all eligible weights"
    if one.area.is_missing:
        return f"{begin}; {why}."
    p = "" if one.p is None else f", adjusted p {one.p:.3f}"
    more = f"area between harmful requests and near twins {one.area} nats per token, {one.above} above {MATCHED}{p}"
    return f"{begin}; {more}; {why}."
