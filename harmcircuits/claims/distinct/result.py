"""From what was measured to values, tables, the decision and its sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...components import Circuit
from ...experiments.names import name_of, name_of_examples
from ...statistics import Estimate, fdr_named, mean_estimate, ratio_of_means
from ...tasks.teacher_forced import INTACT
from ..earlier import Found
from ..material import Material
from ..reading import Read
from .aims import HARM, NEAR, Sources
from .effects import Crossing, crossing, effects
from .overlaps import overlaps, share_of
from .readings import Readings, known, rises
from .rule import Evidence, decide

READ = ("harmful_nll_rise", "near_nll_rise", "selectivity", "harmful_rate")
LIMITS = (
    "A capability is what these sentences need, not all that its name promises.",
    "Of writing whole answers, near twins alone are compared: another kind of answer could need the same circuit.",
    "Harm is attributed on whole responses, a capability on completions of a word or two: standardised effects compare "
    "circuits on one task, not tasks with one another.",
    "The recipe leaves out what other text needs, for each aim, and so makes any two circuits less alike: the overlaps without "
    "protection stand beside.",
)


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured.

    Attributes:
        material, sources: what circuits were found on.
        circuits: by aim; `missing`: why there is none of others.
        outcome: the test triples under each circuit; `readings`: the sentences.
        control: the capability that harm is crossed with.
        draws: of the intervals of overlaps.
        attributed: a digest of the sentences that were attributed, by capability.
    """

    material: Material
    sources: Sources
    circuits: Mapping[str, Circuit]
    missing: Mapping[str, str]
    outcome: Read
    readings: Readings
    control: str
    draws: int
    attributed: Mapping[str, str]

    @property
    def by_sentence(self) -> dict[str, Any]:
        options = self.material.bootstrap
        return {"draws": options["draws"], "seed": options["seed"]}

    def drops(self) -> dict[str, dict[str, np.ndarray]]:
        """By aim and task, `effects.Drops`."""
        found = {}
        for aim in self.circuits:
            condition = f"aimed at {aim}"
            harmful, near, _ = self.outcome.rises(condition).T
            own = {kind: rises(self.readings, condition, kind) for kind in self.sources.capabilities}
            found[aim] = {HARM: harmful, NEAR: near, **own}
        return found

    def known(self) -> dict[str, Estimate]:
        return {kind: known(frame) for kind, frame in self.readings[INTACT].items()}


@dataclass(frozen=True, eq=False)
class Result:
    """As the fields of `Claim`."""

    found: Found
    sentence: str
    values: Mapping[str, Estimate]
    tables: Mapping[str, pd.DataFrame]
    limits: tuple[str, ...]


def summed_up(measured: Measured) -> Result:
    """All numbers, the rule's decision, and what to know before quoting it."""
    material, own = measured.material, measured.sources
    drops, able = measured.drops(), measured.known()
    shared, bare = (_overlaps(measured, protection=protection) for protection in (True, False))
    crossings = {kind: _crossed(measured, drops, kind) for kind in own.capabilities}
    adjusted = fdr_named({kind: one.p for kind, one in crossings.items()})
    writing = {aim: measured.outcome.generation(f"aimed at {aim}") for aim in measured.circuits}
    capable = [kind for kind, share in able.items() if share.low is not None and share.low > 0]
    control = crossings[measured.control]
    evidence = Evidence(
        control=measured.control,
        known=able[measured.control],
        hurts=writing[HARM]["harmful_nll_rise"],
        selectivity=writing[HARM]["selectivity"],
        twins=ratio_of_means(drops[HARM][NEAR], drops[HARM][HARM], **material.bootstrap),
        near=share_of(shared, NEAR),
        shares={kind: share_of(shared, kind) for kind in own.capabilities if kind in capable},
        bare={kind: share_of(bare, kind) for kind in own.capabilities if kind in capable},
        interaction=control.interaction,
        p=adjusted[measured.control],
        own={HARM: control.harm, measured.control: control.capability},
    )
    found, why = decide(evidence)
    tables = {
        "effects": effects(drops, triples=material.bootstrap, sentences=measured.by_sentence, harm=(HARM, NEAR)),
        "overlaps": shared,
        "overlaps without protection": bare,
        "crossings": _crossings_table(crossings, adjusted),
        "writing": _writing_table(writing),
    }
    values = _values(evidence, measured, (shared, bare), writing, drops)
    return Result(found, _sentence(found, why, evidence, values), values, tables, (*LIMITS, *_left_out(measured, capable)))


def _crossed(measured: Measured, drops: Mapping[str, Mapping[str, np.ndarray]], kind: str) -> Crossing:
    if kind not in drops:
        return Crossing(*[Estimate.missing(f"no circuit of that size: {measured.missing[kind]}")] * 4)
    harm, capability = (np.stack([drops[aim][task] for aim in (HARM, kind)]) for task in (HARM, kind))
    return crossing(harm, capability, measured.material.bootstrap)


def _overlaps(measured: Measured, *, protection: bool) -> pd.DataFrame:
    """`overlaps` of the circuits, or of those selected without protection; kept in the journal, since many are selected."""
    material, own = measured.material, measured.sources
    found = measured.circuits
    if not protection:
        found = {aim: own.circuit(aim, protection=False) for aim in found}
    settings = material.settings
    how = [measured.draws, settings.seed, protection, settings.protect]
    on = [material.key, name_of_examples(material.training), dict(measured.attributed)]
    key = [on, how, {aim: name_of(circuit) for aim, circuit in found.items()}]
    make = lambda: overlaps(own, found, draws=measured.draws, seed=settings.seed, protection=protection)
    return material.journal.frame("overlaps", key, make)


def _values(
    evidence: Evidence,
    measured: Measured,
    overlapping: tuple[pd.DataFrame, pd.DataFrame],
    writing: Mapping[str, Mapping[str, Estimate]],
    drops: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Estimate]:
    shared, bare = overlapping
    control, none = measured.control, Estimate.missing(measured.missing.get(measured.control, "not measured"))
    found = {"interaction": evidence.interaction} | {f"own_{name}": value for name, value in evidence.own.items()}
    others = [aim for aim in measured.sources.aims if aim != HARM]
    found |= {f"overlap_{aim}": share_of(shared, aim) for aim in others}
    found |= {f"overlap_without_protection_{aim}": share_of(bare, aim) for aim in others}
    own = writing[HARM]
    found |= {"harm_circuit_harm": own["harmful_nll_rise"], "harm_circuit_near": own["near_nll_rise"]}
    found["harm_circuit_selectivity"] = own["selectivity"]
    found["harm_circuit_near_share"] = evidence.twins
    found |= {
        f"harm_circuit_{kind}": mean_estimate(drops[HARM][kind], **measured.by_sentence)
        for kind in measured.sources.capabilities
    }
    found[f"{control}_circuit_harm"] = writing[control]["harmful_nll_rise"] if control in writing else none
    found[f"{control}_circuit_{control}"] = (
        mean_estimate(drops[control][control], **measured.by_sentence) if control in drops else none
    )
    return found | {f"known_{kind}": value for kind, value in measured.known().items()}


def _crossings_table(crossings: Mapping[str, Crossing], adjusted: Mapping[str, float | None]) -> pd.DataFrame:
    """One row a capability and part: value, low, high, n, and p with p_adjusted of the interaction."""
    rows = []
    for kind, one in crossings.items():
        for part, value in (("interaction", one.interaction), ("own harm", one.harm), (f"own {kind}", one.capability)):
            whole = part == "interaction"
            p = {"p": one.p.value if whole else None, "p_adjusted": adjusted[kind] if whole else None}
            rows.append({"capability": kind, "part": part, **_ends(value), **p})
    return pd.DataFrame(rows).astype(dict.fromkeys(("value", "low", "high", "p", "p_adjusted"), float))


def _writing_table(writing: Mapping[str, Mapping[str, Estimate]]) -> pd.DataFrame:
    """One row an aim and measure of writing (`experiments.measures.generation`): value, low, high, n, reason."""
    rows = [
        {"condition": f"aimed at {aim}", "measure": name, **_ends(own[name])} for aim, own in writing.items() for name in READ
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(("value", "low", "high"), float))


def _ends(value: Estimate) -> dict[str, Any]:
    return {"value": value.value, "low": value.low, "high": value.high, "n": value.n, "reason": value.reason or ""}


def _left_out(measured: Measured, capable: list[str]) -> list[str]:
    found = [f"No circuit of the same size aimed at {aim}: {reason}" for aim, reason in measured.missing.items()]
    unknown = [kind for kind in measured.sources.capabilities if kind not in capable]
    if unknown:
        found.append(f"The model is not shown to have {', '.join(unknown)} above chance: shown, and decides nothing.")
    return found


def _sentence(found: Found, why: str, evidence: Evidence, values: Mapping[str, Estimate]) -> str:
    control = evidence.control
    if found == "cannot be measured":
        return f"Whether the circuit of harm is distinct cannot be measured here: {why}."
    start = {"yes": "The circuit of harm is distinct", "no": "The circuit of harm is not distinct"}.get(
        found, "Whether the circuit of harm is distinct is undecided"
    )
    shares = "; ".join(f"{name} {_told(share)}" for name, share in evidence.overlapping.items())
    p = "no p value" if evidence.p is None else f"adjusted p {evidence.p:.3f}"
    return (
        f"{start}: {why}. Overlap as a share of what one aim has in common with itself: {shares}. "
        f"Without the circuit of harm, L rises by {_told(values['harm_circuit_harm'])} nats per token on harmful responses, by "
        f"{_told(values['harm_circuit_near'])} on near twins' (selectivity {_told(evidence.selectivity)}; near twins' share of "
        f"the rise {_told(evidence.twins)}) and by "
        f"{_told(values[f'harm_circuit_{control}'])} on {control}; without the circuit of {control}, by "
        f"{_told(values[f'{control}_circuit_harm'])} on harmful responses and "
        f"{_told(values[f'{control}_circuit_{control}'])} on {control}. Interaction of harm and {control} "
        f"{_told(evidence.interaction)} standardised units, {p}."
    )


def _told(value: Estimate) -> str:
    if value.value is None:
        return "not measured"
    ends = "" if value.low is None or value.high is None else f" [{value.low:.2f}, {value.high:.2f}]"
    return f"{value.value:.2f}{ends}"
