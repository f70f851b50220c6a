"""From curves to what the rule sees of each grain, the headline values, and the sentence."""

from collections.abc import Mapping, Sequence

import pandas as pd

from ...statistics import Estimate
from ..claim import Found
from .areas import COST, above_reference, admissible_sizes
from .curves import Curve
from .decision import SMALL, Evidence, percent
from .grid import Grain
from .plan import Cell
from .protection import Beside
from .rules import ONE_SHOT, REFERENCE
from .summary import Summary


def gathered(
    grains: Sequence[Grain],
    drawn: Sequence[Curve],
    summaries: Sequence[Summary],
    compared: pd.DataFrame,
    unmade: Mapping[Cell, str],
    beside: Mapping[Grain, tuple[Beside, ...]],
) -> list[Evidence]:
    """Of each grain that was asked, also of one of which no circuit could be selected: a "no" is about all of them.

    Args:
        grains: that were asked.
        drawn: every curve.
        summaries: of the same.
        compared: `areas.differences`.
        unmade: cells that could not be selected, and why.
        beside: `protection.besides`.
    """
    admissible = admissible_sizes(drawn)
    found = []
    for grain in grains:
        curve = next((one for one in drawn if (one.grain, one.rule) == (grain, ONE_SHOT)), None)
        own = next((one for one in summaries if (one.grain, one.rule) == (grain, ONE_SHOT)), None)
        if curve is None or own is None:
            why = next((why for cell, why in unmade.items() if (cell.grain, cell.rule) == (grain, ONE_SHOT)), "")
            found.append(_nothing(grain, f"no circuit of any size could be selected: {why}"))
            continue
        above, p = above_reference(compared, grain)
        found.append(
            Evidence(
                grain=grain,
                fraction_to_halve=own.fraction_to_halve,
                twin_gap=own.twin_gap,
                lowest_end=own.lowest_end,
                area=own.area,
                above=above,
                p=p,
                admissible=tuple(float(curve.fractions[curve.at.index(at)]) for at in admissible[grain]),
                largest=float(curve.fractions.max()),
                exhausted=_exhausted(curve, unmade),
                beside=beside.get(grain, ()),
                smallest_share=float(curve.shares.min()),
            )
        )
    return found


def _exhausted(curve: Curve, unmade: Mapping[Cell, str]) -> bool:
    """Whether nothing larger could be asked for: see `decision.Evidence`."""
    ended = any((cell.grain, cell.rule) == (curve.grain, curve.rule) for cell in unmade)
    return ended or float(curve.plain_share[-1]) > COST or float(curve.shares.max()) >= SMALL


def values(depends: Estimate, summaries: Sequence[Summary], evidence: Sequence[Evidence]) -> dict[str, Estimate]:
    """The headline numbers, by name: those of the one-shot circuits."""
    above = {one.grain: one.above for one in evidence}
    found = {"request_information": depends}
    for one in summaries:
        if one.rule == ONE_SHOT:
            found |= {
                f"fraction_to_halve_{one.grain}": one.fraction_to_halve,
                f"twin_gap_{one.grain}": one.twin_gap,
                f"lowest_retained_{one.grain}": one.lowest_retained,
                f"necessity_area_{one.grain}": one.area,
                f"area_above_control_{one.grain}": above[one.grain],
            }
    return found


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
    more = f"area between harmful requests and near twins {one.area} nats per token, {one.above} above {REFERENCE}{p}"
    return f"{begin}; {more}; {why}."


def _nothing(grain: Grain, reason: str) -> Evidence:
    missing = Estimate.missing(reason)
    return Evidence(
        grain=grain, fraction_to_halve=missing, twin_gap=missing, lowest_end=None, area=missing, above=missing, p=None,
        admissible=(), largest=None, smallest_share=0.0,
    )  # fmt: skip
