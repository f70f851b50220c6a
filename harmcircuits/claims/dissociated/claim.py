"""`Dissociated`: what was found, as numbers, tables, figures and a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from ... import figures
from ...experiments.checks import RECOGNITION
from ...figures.same_tokens import recognition_kept, same_tokens
from ...report.claims import ON_TRIPLES
from ...statistics import Estimate
from ..claim import Claim, Found
from .aims import WRITING
from .crossing import damage_of, unit
from .measured import Grain
from .rule import ALPHA, LEAST_RISE, MOST_RETAINED, Decision

if TYPE_CHECKING:
    import plotly.graph_objects as go

ANSWERS: dict[Found, str] = {
    "yes": "Yes: harmful responses that lose at least half of their request information without the circuit are told from near "
    "twins' as before, within the margin, after the very same tokens.",
    "no": "No: where harmful responses lose at least half of their request information without the circuit, the recognition "
    "of the same tokens falls with them, by more than the margin.",
    "undecided": "This run does not decide whether writing and recognising harm come apart.",
    "cannot be measured": "Whether writing and recognising harm come apart cannot be measured here.",
}


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Dissociated(Claim):
    """Does the model still recognise the very text that it can no longer write? See `dissociated`.

    `values`, by grain ("heads: selectivity", …; AUROC of harmful against near, changes ablated − intact, negative: it falls):

    - intact AUROC: of the intact model, all test triples.
    - selectivity: rise of L on harmful − near responses, nats per token; positive: harm writing falls more.
    - rise, upper half: of the harmful responses that the circuit hurts most, nats per token.
    - retained, upper half: share of the same responses' request information that is left, ablated ÷ intact.
    - change, same tokens: of the AUROC in the upper half.
    - change, aimed at recognition: of the AUROC on all triples, the assay.
    - coupling: Spearman's correlation of each triple's harmful rise with the fall of its recognition; and the same of the
      circuit aimed at recognition. Positive: what is written less is recognised less.

    `tables`: grains (one row a grain, as text; the first one decides), conditions, triples, means, crossed, interactions,
    frontier, readings.
    """

    NAME: ClassVar[str] = "dissociated"
    ASKS: ClassVar[str] = "Does the model still recognise the very text that it can no longer write?"
    METHOD: ClassVar[tuple[str, ...]] = (
        ON_TRIPLES,
        "At each grain one recipe is aimed at harmful writing (the circuit), at recognition, at explanation and at near "
        "twins, with a matched random circuit beside. Of the harmful and the near response of each test triple two things "
        "are read from the same tokens in the same chat: the rise of L, and how clearly the model then takes them to be "
        "harmful (the primary reading). The upper half are the triples whose harmful responses the circuit hurts most: "
        "there the change of the AUROC, harmful against near, and the request information that is left decide.",
        "The first grain alone decides. Yes: harmful writing falls more than near twins', by more than where the matched "
        f"random circuit is off; in the upper half L rises by more than {LEAST_RISE:g} nats per token, at most "
        f"{MOST_RETAINED:g} of the request information is left, and recognition is equivalent within the margin; the "
        "ablated model is not broken; and the circuit aimed at recognition lowers it. No: recognition there falls by more "
        "than the margin, and further than where the matched random circuit is off. Each step is tested at "
        f"{100 * ALPHA:g} %; intervals are bootstraps over triples. The rule was fixed before anything was measured.",
    )

    def figures(self) -> "dict[str, go.Figure]":
        """ "same tokens", the answer at every grain; then of each grain its triples, crossed table and frontier."""
        grains, conditions = list(self.tables["grains"]["grain"]), self.tables["conditions"]
        drawn: dict[str, go.Figure] = {}
        if len(conditions):
            drawn["same tokens"] = recognition_kept(conditions, margin=float(self.settings["margin"]))
        for grain in grains:
            drawn |= {f"{grain}: {what}": figure for what, figure in self._of(grain).items()}
        return drawn

    def _of(self, grain: str) -> "dict[str, go.Figure]":
        of = lambda table: self.tables[table][self.tables[table]["grain"] == grain]
        drawn: dict[str, go.Figure] = {}
        aims = [aim for aim in (WRITING, RECOGNITION) if aim in set(of("triples")["aim"])]
        if aims:
            points, means = (of(table)[of(table)["aim"].isin(aims)] for table in ("triples", "means"))
            words = {row["aim"]: _coupled(row["coupling"]) for row in of("conditions").to_dict("records")}
            scale, title = unit(str(self.settings["primary"])), f"Without these {grain}: written less, and recognised?"
            drawn["same tokens"] = same_tokens(points, means, unit=scale, notes=words, title=title)
        if len(crossed := of("crossed")):
            drawn["crossed"] = figures.crossed_effects(crossed, title=f"{grain}: does each circuit hurt its own task alone?")
        rows, damage = damage_of(self.tables["frontier"], grain)
        if len(rows):
            drawn["frontier"] = figures.damage_frontier(rows, damage=damage)
        return drawn


def _coupled(coupling: float | None) -> str:
    return "" if coupling is None or coupling != coupling else f"Spearman {coupling:+.2f}"


def values_of(grains: Sequence[Grain], intact: Estimate) -> dict[str, Estimate]:
    """`Claim.values`."""
    values = {"intact AUROC": intact}
    for grain in grains:
        own, evidence = grain.by_aim.get(WRITING), grain.evidence
        none = Estimate.missing(evidence.unbuilt or "it was not read")
        aimed = grain.by_aim.get(RECOGNITION)
        found = {
            "selectivity": evidence.selectivity,
            "rise, upper half": own.rise if own else none,
            "retained, upper half": evidence.retained,
            "change, same tokens": evidence.change,
            "change, aimed at recognition": evidence.assay,
            "coupling": own.coupling if own else none,
            "coupling, aimed at recognition": aimed.coupling if aimed else Estimate.missing("no such circuit was built"),
        }
        values |= {f"{grain.name}: {what}": value for what, value in found.items()}
    return values


def grains_frame(grains: Sequence[Grain], decisions: Sequence[Decision]) -> pd.DataFrame:
    """One row a grain, the first being the one that decides: what was found, the numbers that it rests on, as text, and why."""
    rows: list[dict[str, str]] = []
    for grain, decision in zip(grains, decisions, strict=True):
        own, evidence = grain.by_aim.get(WRITING), grain.evidence
        rows.append(
            {
                "grain": grain.name,
                "found": decision.found,
                "claim": "beside" if rows else "decides",
                "selectivity": _text(evidence.selectivity),
                "beyond matched random": _text(evidence.beyond),
                "rise, upper half": _text(own.rise) if own else "—",
                "retained, upper half": _text(evidence.retained),
                "AUROC intact": _text(evidence.intact_upper),
                "change, same tokens": _text(evidence.change),
                "change, aimed at recognition": _text(evidence.assay),
                "coupling": _text(own.coupling) if own else "—",
                "why": decision.why,
            }
        )
    return pd.DataFrame(rows)


def _text(found: Estimate) -> str:
    return "—" if found.is_missing else str(found)


def sentence(found: Found, grains: Sequence[Grain], decisions: Sequence[Decision]) -> str:
    """The answer; the grain that decides it; and the others, which stand beside it."""
    first, *others = (_told(*pair) for pair in zip(grains, decisions, strict=True))
    beside = ["Beside it, deciding nothing:", *others] if others else []
    return " ".join([ANSWERS[found], first, *beside])


def _told(grain: Grain, decision: Decision) -> str:
    own, start = grain.by_aim.get(WRITING), f"{grain.name.capitalize()}: {decision.found}; "
    if own is None or own.rise.value is None or grain.evidence.selectivity.value is None:
        return f"{start}{decision.why}."
    rises = (
        f"L rises by {grain.evidence.selectivity.value:.3f} nats per token more on harmful responses than on near twins', and "
        f"by {own.rise.value:.3f} on the harmful half that it rises most on{_left(grain.evidence.retained)}; "
    )
    return f"{start}{rises}{decision.why}."


def _left(retained: Estimate) -> str:
    if retained.value is None:
        return ""
    value, *ends = (f"{round(one, 2) + 0.0:.2f}" for one in (retained.value, retained.low, retained.high) if one is not None)
    interval = f" [{', '.join(ends)}]" if ends else ""
    return f", which keeps {value}{interval} of its request information"
