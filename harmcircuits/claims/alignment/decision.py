"""Does alignment compress harmful writing? The rule, fixed before anything was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...statistics import Estimate
from ..earlier import Found
from .curve.grid import Grain
from .curve.summary import ALIKE
from .trends import Trend
from .writing import Reading

LEVEL = 0.05
FEWEST = 6
"""Triples: with fewer no pattern of signs has a two-sided p value of at most 0.05."""
REFUSES = 0.5
"""A stage whose share of refusals is not below this writes too little of what is asked about."""
NOTHING = "nothing"
"""What the change of the area itself is compared with."""
MEASURED = "measured"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the rule sees of one grain on one set of responses.

    Attributes:
        beyond: the change of the necessity area, nats per token, by what it is beyond: `NOTHING`, matched random circuits (the
            change of the area less theirs), and each control ladder (the change less that along it). p values are adjusted.
        fraction: change of ln f, f the share of weights that halves harmful writing; negative: fewer do.
    """

    grain: Grain
    reading: Reading
    beyond: Mapping[str, Trend]
    fraction: Estimate


Why = dict[tuple[Grain, Reading], str]


def decide(stopped: str, evidence: Sequence[Evidence]) -> tuple[Found, Why]:
    """What was found, and of each grain and set of responses why.

    - "cannot be measured": `stopped` says why nothing can be (no stage's harmful responses are shown to depend on the request,
      too few triples), or every grain has a set of responses on which stages cannot be compared (one of them refuses; its own
      responses are not shown to depend on the request; no fractions in common).
    - "yes": of some grain, on own *and* on fixed responses, the change of the area lies above 0 (interval, adjusted p at most
      0.05), beyond that of matched random circuits and beyond every control ladder likewise; and ln f, where every stage
      reaches the half, is not shown to grow.
    - "no": every grain can be compared on both, and of each, on own *or* on fixed responses, one of these changes is equivalent
      to none (90 % interval within ± 0.02 nats per token) or lies below 0.
    - "undecided": anything else.

    What the stages write differs: on own responses alone, a change may be one of the text. What a circuit does to fixed text
    may change because a stage would not write it. So a "yes" needs both, and either is enough for a "no".

    >>> up = Trend(change=Estimate(0.2, 0.1, 0.3, 40), p=Estimate(0.001, n=99))
    >>> flat = Trend(change=Estimate(0.0, -0.01, 0.01, 40), p=Estimate(0.9, n=99), none=True)
    >>> seen = lambda reading, trend: Evidence(
    ...     grain="neurons", reading=reading, beyond={NOTHING: trend}, fraction=Estimate.missing("no half"))
    >>> decide("", [seen("own", up), seen("fixed", up)])[0], decide("", [seen("own", up), seen("fixed", flat)])[0]
    ('yes', 'no')
    """
    if stopped:
        return "cannot be measured", {(one.grain, one.reading): stopped for one in evidence}
    unread = {(one.grain, one.reading): _unread(one) for one in evidence}
    grains = list(dict.fromkeys(one.grain for one in evidence))
    blind = [grain for grain in grains if any(why for (own, _), why in unread.items() if own == grain)]
    if len(blind) == len(grains):
        return "cannot be measured", {place: why or MEASURED for place, why in unread.items()}
    lacks = {(one.grain, one.reading): unread[one.grain, one.reading] or _lacks(one) for one in evidence}
    against = {(one.grain, one.reading): "" if one.grain in blind else _against(one) for one in evidence}
    of = lambda found, grain: [why for (own, _), why in found.items() if own == grain]
    if any(not any(of(lacks, grain)) for grain in grains):
        return "yes", {place: why or "all conditions hold" for place, why in lacks.items()}
    told = {place: against[place] or lacks[place] or "all conditions of a yes hold" for place in lacks}
    return "no" if all(any(of(against, grain)) for grain in grains) else "undecided", told


def _unread(one: Evidence) -> str:
    return one.beyond[NOTHING].change.reason or ""


def _lacks(one: Evidence) -> str:
    """What is missing for a "yes"; "" where nothing is."""
    for name, trend in one.beyond.items():
        if trend.low <= 0 or trend.p.value is None or trend.p.value > LEVEL:
            p = "no p value" if trend.p.value is None else f"adjusted p {trend.p.value:.3f}"
            more = "" if name == NOTHING else f" more than that of {name}"
            return f"the area is not shown to grow{more}: {trend.change} nats per token, {p}"
    if one.fraction.low is not None and one.fraction.low > 0:
        return f"more weights are needed to halve harmful writing: ln f grows by {one.fraction}"
    return ""


def _against(one: Evidence) -> str:
    """What speaks against compression; "" where nothing does."""
    for name, trend in one.beyond.items():
        if trend.high < 0:
            what = "the area falls" if name == NOTHING else f"the area grows less than that of {name}"
            return f"{what}: {trend.change} nats per token"
        if trend.none:
            more = "" if name == NOTHING else f" more than that of {name}"
            return f"the area does not grow{more}: {trend.change} nats per token, equivalent to 0 within ± {ALIKE:g}"
    return ""
