"""From what was measured to evidence, values and the sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ...statistics import Estimate
from ..claim import Found
from .decision import Effect, Evidence, Pruning, decide, helps, induced_in
from .effects import EQUAL, INSIDE, OPENED, OTHERS, OUTSIDE, Arm, Measured, Part
from .plan import DAMAGE, HARMFUL, MAGNITUDE, NOTHING, OTHER, OWN, RANDOM, SELECTED
from .relearning import later
from .told import told

BAD, GOOD = Arm("bad"), Arm("good")
CONTROLS = (RANDOM, MAGNITUDE)


def gathered(measured: Measured, degenerate: float | None) -> Evidence:
    """What the rule looks at. Domains in which nothing was induced are left out of what comes after the gate."""
    induced = {domain: effect_on(measured, INSIDE, [domain]) for domain in measured.learnt}
    among = induced_in(induced) or measured.learnt
    inside, others, opened = (effect_on(measured, part, among) for part in (INSIDE, OTHERS, OPENED))
    return Evidence(induced, inside, others, opened, degenerate, prunings(measured, among))


def effect_on(measured: Measured, part: Part, among: Sequence[str]) -> Effect:
    """Δb after bad advice at the last stage, and its excess over that after good advice."""
    return Effect(measured.effect(BAD, part, among=among), measured.contrast(BAD, GOOD, part, among=among))


def prunings(measured: Measured, among: Sequence[str]) -> dict[str, Pruning]:
    """Of every source of masks that was run, against no pruning and both controls, at equal loss."""
    kinds = {run.kind for run in measured.curves if run.lesson == "bad"}
    at = lambda kind: Arm("bad", kind, EQUAL)
    return {
        kind: Pruning(
            measured.contrast(at(NOTHING), at(kind), OUTSIDE, among=among),
            {control: measured.contrast(at(control), at(kind), OUTSIDE, among=among) for control in CONTROLS},
        )
        for kind in SELECTED
        if kind in kinds
    }


@dataclass(frozen=True)
class Summary:
    """As the fields of `Claim`."""

    found: Found
    sentence: str
    values: Mapping[str, Estimate]


def summed_up(measured: Measured, evidence: Evidence, mechanism: pd.DataFrame) -> Summary:
    """The answer, its sentence and the headline numbers."""
    found, why = decide(evidence)
    values = {
        "in_domain": evidence.inside.delta,
        "in_domain_excess": evidence.inside.excess,
        "other_domains": evidence.others.delta,
        "other_domains_excess": evidence.others.excess,
        "open_questions": evidence.opened.delta,
        "open_questions_excess": evidence.opened.excess,
    }
    for kind, one in evidence.pruned.items():
        name = kind.replace(" ", "_")
        values[f"reduction_{name}"] = one.reduction
        values |= {f"reduction_{name}_beyond_{control}": value for control, value in one.beyond.items()}
    if any(run.kind == DAMAGE for run in measured.curves):
        values["relearning_later"] = later(measured, HARMFUL)
    return Summary(found, sentence(found, why, evidence, mechanism), values)


def sentence(found: Found, why: str, evidence: Evidence, mechanism: pd.DataFrame) -> str:
    """What was found; of pruning and mechanism only where narrow fine-tuning misaligns broadly."""
    if found == "cannot be measured":
        return f"Whether narrow fine-tuning misaligns broadly cannot be measured here: {why}."
    start = {"yes": "Narrow fine-tuning misaligns broadly", "no": "Narrow fine-tuning does not misalign broadly"}.get(
        found, "Whether narrow fine-tuning misaligns broadly is undecided"
    )
    inside, others, opened = evidence.inside, evidence.others, evidence.opened
    said = [
        f"{start}: {why}.",
        f"After bad advice in one domain ({', '.join(induced_in(evidence.induced))}) the log-odds of bad advice rise by "
        f"{told(inside.delta)} nats per token there (by {told(inside.excess)} more than after good advice), by "
        f"{told(others.delta)} ({told(others.excess)}) in other domains and by {told(opened.delta)} ({told(opened.excess)}) on "
        "open questions.",
    ]
    if found == "yes":
        said += [*_of_pruning(evidence.pruned), *_of_mechanism(mechanism)]
    return " ".join(said)


_HELPS = {
    "yes": "reduces it",
    "no": "does not reduce it more than its controls do",
    "undecided": "is not shown to reduce it",
    "cannot be measured": "cannot be compared",
}


def _of_pruning(pruned: Mapping[str, Pruning]) -> list[str]:
    found = []
    for kind, one in pruned.items():
        beyond = ", ".join(f"{told(value)} less than after {control}" for control, value in one.beyond.items())
        what = {OWN: "its own domain", OTHER: OTHER, HARMFUL: HARMFUL}[kind]
        found.append(
            f"Pruning on {what} first {_HELPS[helps(one)]}, at equal loss on the domain: outside it {told(one.reduction)} less "
            f"than without pruning, {beyond}."
        )
    return found


def _of_mechanism(mechanism: pd.DataFrame) -> list[str]:
    own = mechanism[(mechanism["asked"] == OUTSIDE) & (mechanism["put back"] == HARMFUL)] if len(mechanism) else mechanism
    shares = {row["where"]: row for row in own.to_dict("records") if pd.notna(row["share"])}
    if not shares:
        return []
    parts = [f"{where} {row['share']:.0%}" for where, row in shares.items()]
    return [
        f"With base values put back on the mask of harmful requests, of the rise outside the domain goes: {', '.join(parts)}."
    ]
