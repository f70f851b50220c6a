"""What was found, in numbers by name, in words, and what to know before quoting it."""

from collections.abc import Mapping, Sequence

from ...experiments.checks import MATCHED
from ...statistics import Estimate
from ..earlier import Found
from .compared import Compared, Results, depends
from .curve.grid import Grain
from .curve.plan import MATCHED_WEIGHTS, ONE_DRAW
from .decision import MEASURED, NOTHING, Evidence, Why
from .ladders import LADDER
from .stage import Measured
from .writing import Reading

LIMITS = (
    "The units of every interval and p value are triples, not trainings: one ladder is one ladder. That training of this kind "
    "compresses takes several ladders, trained from other seeds.",
    "Circuits are selected by first-order scores, anew at each stage: a no does not exclude what a better search would find.",
    "Areas are over fractions at which no stage loses more than 5 % of its loss on plain passages; beyond them nothing is "
    "compared.",
)
TWO = "Two stages have a difference and no trend: whether it comes gradually takes three."
ALONE = "There is no control ladder: another fine-tuning of as many steps and tokens, of style alone, might do the same."
CONTROLLED = (
    "A control ladder rules out what it matches. The one of style that `harmcircuits ladder` trains has as many lessons and "
    "steps, and about as many tokens of answers; it sees no harmful request. That any training on harmful requests would do "
    "the same is not ruled out."
)
_OPENINGS: Mapping[Found, str] = {
    "yes": "Harmful writing comes to rest on a smaller part along this ladder",
    "no": "Harmful writing does not come to rest on a smaller part along this ladder, as far as it was looked for",
    "undecided": "Whether harmful writing comes to rest on a smaller part along this ladder is undecided",
    "cannot be measured": "Whether harmful writing comes to rest on a smaller part along this ladder cannot be measured",
}
_RESPONSES: Mapping[Reading, str] = {"own": "on each stage's own responses", "fixed": "on the same responses for all stages"}


def values(compared: Compared) -> dict[str, Estimate]:
    """The headline numbers, by name."""
    found: dict[str, Estimate] = {}
    for asked, one in compared.trends.items():
        beyond = "" if asked.beyond == NOTHING else f"_beyond_{asked.beyond.replace(' ', '_')}"
        found[f"area_change_{asked.grain}_{asked.reading}{beyond}"] = one.change
    return found | {f"fraction_change_{grain}_{reading}": one for (grain, reading), one in compared.fractions.items()}


def sentence(answer: Found, evidence: Sequence[Evidence], why: Why) -> str:
    """What was found, with the numbers of each grain."""
    if answer == "cannot be measured":
        known = {place: reason for place, reason in why.items() if reason != MEASURED}
        one = len({*known.values()}) == 1
        told = [reason if one else f"{grain}, {reading} responses: {reason}" for (grain, reading), reason in known.items()]
        return f"{_OPENINGS[answer]}: {'; '.join(dict.fromkeys(told))}."
    grains = dict.fromkeys(one.grain for one in evidence)
    parts = [_of_grain(grain, [one for one in evidence if one.grain == grain], why) for grain in grains]
    return f"{_OPENINGS[answer]}. {' '.join(parts)}"


def _of_grain(grain: Grain, evidence: Sequence[Evidence], why: Why) -> str:
    told = [f"{_RESPONSES[one.reading]} {_of_reading(one)} ({why[grain, one.reading]})" for one in evidence]
    return f"{grain.capitalize()}: {'; '.join(told)}."


def _of_reading(one: Evidence) -> str:
    area = one.beyond[NOTHING]
    if area.change.is_missing:
        return "it was not measured"
    p = "" if area.p.value is None else f", adjusted p {area.p.value:.3f}"
    more = "".join(f", {trend.change} beyond {name}" for name, trend in one.beyond.items() if name not in (NOTHING, MATCHED))
    fraction = "" if one.fraction.is_missing else f", and ln of the share that halves by {one.fraction}"
    return f"the area changes by {area.change} nats per token{p}{more}{fraction}"


def limits(results: Results, grains: Sequence[Grain]) -> tuple[str, ...]:
    """What holds of every ladder, then what holds of this one."""
    found = [*LIMITS, ONE_DRAW, *([MATCHED_WEIGHTS] if "weights" in grains else [])]
    if len(results.ladder(LADDER)) == 2:
        found.append(TWO)
    found.append(CONTROLLED if results.controls else ALONE)
    for (name, reading), own in results.found.items():
        if isinstance(own, str):
            found.append(f"{name} was not measured on the {reading} responses: {own}.")
        elif reading == "own":
            found += _of_stage(name, own)
    return tuple(found)


def _of_stage(name: str, own: Measured) -> list[str]:
    refused, information = own.refusals, own.information
    found = []
    if refused.value is not None and refused.value > 0:
        found.append(f"{name} refuses in spite of the prefill in {refused} of its harmful responses.")
    if not depends(information):
        found.append(f"{name}: its harmful responses are not shown to depend on the request (I is {information}).")
    return found
