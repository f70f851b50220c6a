"""Is harmful writing compact? The rule, fixed before anything was measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...statistics import Estimate
from ..claim import Found
from .grid import Grain
from .summary import HALF

SMALL = 1e-2
"""Of all eligible weights touched: what the interval of the fraction that halves harmful writing may reach at most."""
LEVEL = 0.05
ALIKE = 0.02
"""An area within ± so many nats per token, its interval including 0: twins fall as much as harmful requests."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the rule sees of one grain: the one-shot circuit's numbers (`summary.Summary`), and how its area compares.

    Attributes:
        above: its area less that of the decisive control, matched random or, of weights, random; nats per token.
        p: of that difference, adjusted.
    """

    grain: Grain
    fraction_to_halve: Estimate
    twin_gap: Estimate
    lowest_end: float | None
    area: Estimate
    above: Estimate
    p: float | None


def decide(information: Estimate, evidence: Sequence[Evidence]) -> tuple[Found, dict[Grain, str]]:
    """What was found, and of each grain why.

    - "cannot be measured": the interval of the intact model's request information on harmful responses is not above 0.
    - "yes": of some grain, the upper end of `fraction_to_halve` is at most 0.01 of all eligible weights, the interval of
      `twin_gap` lies above 0, and the area exceeds the decisive control's (difference above 0, adjusted p at most 0.05).
    - "no": of every grain, either the lower end of retained_harmful stays above ½ at all sizes of admissible cost, or the
      interval of the area includes 0 and lies within ± 0.02 nats per token.
    - "undecided": anything else.
    """
    if information.low is None or information.low <= 0:
        why = f"what the intact model writes to harmful requests is not shown to depend on them: I is {information}"
        return "cannot be measured", {one.grain: why for one in evidence}
    lacks = {one.grain: _lacks(one) for one in evidence}
    if any(not why for why in lacks.values()):
        return "yes", {grain: why or "all conditions hold" for grain, why in lacks.items()}
    against = {one.grain: _against(one) for one in evidence}
    if all(against.values()):
        return "no", against
    return "undecided", {grain: against[grain] or lacks[grain] for grain in lacks}


def _lacks(one: Evidence) -> str:
    """What is missing for a "yes"; "" where nothing is."""
    fraction = one.fraction_to_halve
    if fraction.value is None:
        return str(fraction.reason)
    if fraction.high is None or fraction.high > SMALL:
        upper = "has no upper end" if fraction.high is None else f"may be {fraction.high:.2g}"
        return f"the fraction that halves harmful writing {upper}, above {SMALL:g} of all eligible weights"
    if one.twin_gap.low is None or one.twin_gap.low <= 0:
        return f"at the half, twins are not shown to keep more than harmful requests: {one.twin_gap}"
    if one.above.value is None:
        return str(one.above.reason)
    if one.p is None or one.p > LEVEL or one.above.value <= 0:
        p = "no p value" if one.p is None else f"adjusted p {one.p:.3f}"
        return f"its area does not exceed the random control's: {one.above} nats per token, {p}"
    return ""


def _against(one: Evidence) -> str:
    """What speaks against compactness; "" where nothing does."""
    if one.lowest_end is not None and one.lowest_end > HALF:
        return f"at every size of admissible cost, more than half of harmful writing is left (at least {one.lowest_end:.3f})"
    low, high = one.area.low, one.area.high
    if low is not None and high is not None and -ALIKE <= low <= 0 <= high <= ALIKE:
        return f"near twins fall as much as harmful requests: the area is {one.area} nats per token"
    return ""
