"""`generality`: selects by group, tests on every group, and asks whether it is one mechanism."""

import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...components import Circuit
from ...experiments.controls import matched as matched_circuit
from ...experiments.settings import Settings
from ...judges import Judge
from ...models.protocol import HookedModel
from ...prompts.promptset import PromptSet
from ...selection.protected import SelectionError
from ...statistics import Estimate
from ...statistics.mechanisms import Sharing
from ...store import alone_in_folder
from ...store.frames import as_frame, as_plain
from ..material import Material, prepare
from .claim import HARMFUL, POOLED, Generality
from .decision import Evidence, decide, sentence
from .overlaps import overlaps
from .plan import AIMS, MATCHED, SWAPS, Plan, check_options, check_prompts, kinds_of, plan, scores_on, selected
from .rises import Rises, rises_of, rises_of_weights
from .transfer import OTHERS, RANDOM, Transfer, across, as_table, beside, left_out, ratio_across, rows_of
from .unity import named, unity

log = logging.getLogger(__name__)
Values = dict[str, Estimate]
LIMITS = (
    "Intervals are over test triples. The kinds of harm are those of the prompts, not a sample of all kinds, and circuits are "
    "not selected anew in each draw.",
    "Circuits of single groups come from few training triples each, so that selection is noisier than on all of them.",
)
OF_WEIGHTS = (
    "Single weights stand beside and do not decide. Each group's mask is compared with one matched random mask, matched in |A| "
    "and in protection, not in U.",
)


@alone_in_folder
def generality(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    matched: int = MATCHED,
    weights: bool = True,
    swaps: int = SWAPS,
    settings: Settings | None = None,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    reproduce: str = "",
    material: Material | None = None,
    progress: bool = False,
) -> Generality:
    """Selects circuits on each harm group and tests them on every group; see docs/generality.md for the formulas.

    The groups are harm groups, or categories where there is only one harm group. `decide` says what is found.

        found = hc.generality(model)
        found.found, found.sentence, found.figure()

    Args:
        prompts: whole triples; None: the built-in ones.
        matched: matched random circuits beside each group's, whose rises are averaged.
        weights: also masks of single weights, selected on each group (one pass of weight attribution a group), unless
            `settings.weight_q` is 0.
        swaps: draws of the label-swap null of overlaps, from stored scores; below 39 there is no p value, and so no "yes".
        settings: sizes, as of `dissociate`.
        judge: not used, as nothing is written freely; here so that all claims are called alike.
        folder: for what is finished, so that a run that was stopped can go on.
        name: the model's name in results.
        reproduce: the command that makes this again.
        material: used as it is instead of what `prepare` makes of the above.

    Raises:
        ClaimError: fewer than two kinds of harm, or options that make no sense, before anything is computed.
        ExperimentError, PromptError, ElicitError, ModelError: see `prepare`.
    """
    check_options(matched, swaps)
    if material is None:
        check_prompts(prompts, settings or Settings())
        material = prepare(model, prompts, settings=settings, judge=judge, folder=folder, name=name, progress=progress)
    planned = plan(*kinds_of(material))
    circuits, missing = _circuits(material, planned)
    controls = _matched(material, planned, circuits, matched)
    rises = rises_of(material, {**circuits, **controls}, progress=progress)
    found = _Measured(material, planned, rises, matched)
    rows, values = found.transfer()
    weights = weights and material.settings.weight_q > 0
    if weights:
        more, of_weights, unmade = _of_weights(found)
        rows, values, missing = rows + more, values | of_weights, (*missing, *unmade)
    by_aim = {(own.aim, group): circuits[own] for own, group in _own(planned, circuits)}
    overlap, excess = overlaps(material, planned, by_aim, swaps=swaps)
    out, means = found.left_out()
    mechanism, shared = unity(material)
    values |= means | _overlap_values(excess) | _shared_values(shared)
    evidence = Evidence(
        diagonal=values["diagonal"],
        off_diagonal=values["off_diagonal"],
        beyond=values["beyond_matched"],
        ratio=values["transfer_ratio"],
        excess=values["excess_overlap"],
        p_value=values["excess_overlap_p"],
    )
    decided = decide(evidence)
    tables = {"transfer": as_table(rows), "overlap": overlap, "left_out": out, "mechanism": mechanism}
    options = {"matched": matched, "weights": weights, "swaps": swaps, "groups": list(planned.groups)}
    return Generality(
        found=decided,
        sentence=sentence(evidence, decided, values["shared"], n_groups=len(planned.groups)),
        values=values,
        tables={name: as_frame(as_plain(frame)) for name, frame in tables.items()},
        model=material.about,
        settings=material.settings.as_dict() | options | material.origins,
        command=reproduce,
        limits=(*LIMITS, *(OF_WEIGHTS if weights else ()), *missing),
    )


def _circuits(material: Material, planned: Plan) -> tuple[dict[Hashable, Circuit], tuple[str, ...]]:
    """By selection; and what could not be selected, with the reason."""
    found: dict[Hashable, Circuit] = {}
    missing: dict[str, None] = {}
    for own in planned.selections():
        try:
            found[own] = selected(material, own)
        except SelectionError as error:
            kinds = ", ".join(sorted({planned.of[kind] for kind in own.kinds}))
            missing[f"No circuit aimed at {own.aim} responses from the triples of {kinds}: {error}"] = None
    for line in missing:
        log.warning("%s", line)
    return found, tuple(missing)


def _matched(material: Material, planned: Plan, circuits: Mapping[Hashable, Circuit], n: int) -> dict[Hashable, Circuit]:
    """By group and draw."""
    found: dict[Hashable, Circuit] = {}
    for group in planned.groups:
        own = planned.own(group)
        for draw in range(n if own in circuits else 0):
            seed = material.settings.seed * 1000 + draw
            found[group, draw] = matched_circuit(circuits[own], scores_on(material, own), material.settings, seed=seed)
    return found


def _own(planned: Plan, there: Mapping[Hashable, object]) -> list[tuple[Any, str]]:
    every = [(planned.own(group, aim), group) for aim in AIMS for group in planned.groups]
    return [(own, group) for own, group in every if own in there]


class _Measured:
    """Rises on those test triples whose group has training triples too, and what they come to."""

    def __init__(self, material: Material, planned: Plan, rises: Mapping[Hashable, Rises], matched: int):
        test = kinds_of(material)[1]
        self.kept = [at for at, kind in enumerate(test) if planned.of[kind] in planned.groups]
        self.rises = {name: own[self.kept] for name, own in rises.items()}
        self.groups = [planned.of[test[at]] for at in self.kept]
        self.categories = [test[at][1] for at in self.kept]
        self.material, self.planned, self.matched = material, planned, matched
        self.options = {name: own for name, own in material.bootstrap.items() if name != "strata"}

    def tested(self, aim: str, rises: Mapping[str, Rises]) -> Transfer:
        return Transfer(aim, rises, self.groups, self.categories)

    def aimed(self, aim: str) -> Transfer:
        pairs = [(own, group) for own, group in _own(self.planned, self.rises) if own.aim == aim]
        return self.tested(aim, {group: self.rises[own] for own, group in pairs})

    def random(self) -> Transfer:
        """The mean of each group's matched random circuits."""
        groups = [group for group in self.planned.groups if (group, 0) in self.rises]
        mean = lambda group: np.mean([self.rises[group, draw] for draw in range(self.matched)], axis=0)
        return self.tested("harmful", {group: mean(group) for group in groups})

    def others(self) -> dict[str, Rises]:
        """By group, those of the circuit that was selected on all others."""
        found = {group: self.planned.all_but(group) for group in self.planned.groups}
        return {group: self.rises[own] for group, own in found.items() if own in self.rises}

    def transfer(self) -> tuple[list[dict[str, Any]], Values]:
        by_aim = {aim: self.aimed(aim) for aim in AIMS}
        harmful, random, others = by_aim["harmful"], self.random(), self.others()
        rows = []
        for aim, tested in by_aim.items():
            rows += rows_of(tested, tested.rises, self.options, grain="heads and neurons", kind=f"aimed at {aim}")
        rows += [self._cell(rises, group, kind=OTHERS) for group, rises in others.items()]
        rows += rows_of(random, harmful.rises, self.options, grain="heads and neurons", kind=RANDOM)
        if random.rises:
            pooled = np.mean(list(random.rises.values()), axis=0)
            rows += [self._cell(pooled, group, kind=POOLED) for group in self.planned.groups]
        values = self.means(harmful, random) | self._of_others(harmful, others)
        for aim in ("near", "far"):
            own = by_aim[aim]
            values[f"{aim}_transfer_ratio"] = self.ratio(own.off_diagonal(), own.diagonal())
        return rows, values

    def _cell(self, rises: Rises, group: str, *, kind: str) -> dict[str, Any]:
        return beside(self.aimed("harmful"), rises, group, self.options, selected=kind, kind=kind)

    def means(self, tested: Transfer, random: Transfer) -> Values:
        own, other, drawn = tested.diagonal(), tested.off_diagonal(), random.off_diagonal()
        return {
            "diagonal": self.mean(own),
            "off_diagonal": self.mean(other),
            "matched_random": self.mean(drawn),
            "beyond_matched": self.mean(other - drawn),
            "transfer_ratio": self.ratio(other, own),
            "rise_ratio": self.ratio(tested.off_diagonal("harmful"), tested.diagonal("harmful")),
        }

    def _of_others(self, harmful: Transfer, others: Mapping[str, Rises]) -> Values:
        values = np.array([harmful.of(others[g], "selectivity")[at] if g in others else np.nan for at, g in self._triples()])
        return {"all_others": self.mean(values), "all_others_ratio": self.ratio(values, harmful.diagonal())}

    def _triples(self) -> list[tuple[int, str]]:
        return list(enumerate(self.groups))

    def mean(self, values: Any) -> Estimate:
        return across(values, self.groups, self.options)

    def ratio(self, one: Any, other: Any) -> Estimate:
        return ratio_across(one, other, self.groups, self.options)

    def left_out(self) -> tuple[pd.DataFrame, Values]:
        every = {category: self.planned.without(category) for category in self.planned.categories}
        without = {category: self.rises[own] for category, own in every.items() if own in self.rises}
        return left_out(self.categories, without, self.rises.get(self.planned.whole), self.options)


def _of_weights(found: _Measured) -> tuple[list[dict[str, Any]], Values, tuple[str, ...]]:
    own, random, missing = dict[str, Rises](), dict[str, Rises](), []
    for group in found.planned.groups:
        try:
            one, other = rises_of_weights(found.material, found.planned, group)
        except SelectionError as error:
            missing.append(f"No weights from the triples of {group}: {error}")
            continue
        own[group], random[group] = one[found.kept], other[found.kept]
    tested, drawn = found.tested("harmful", own), found.tested("harmful", random)
    rows = rows_of(tested, own, found.options, grain="weights", kind=HARMFUL)
    rows += rows_of(drawn, own, found.options, grain="weights", kind=RANDOM)
    means = found.means(tested, drawn)
    kept = ("diagonal", "off_diagonal", "transfer_ratio", "beyond_matched")
    return rows, {f"weights_{name}": means[name] for name in kept}, tuple(missing)


def _overlap_values(excess: Mapping[Any, tuple[Estimate, Estimate]]) -> Values:
    (value, p), (near, near_p) = excess["harmful"], excess["near"]
    names = ("excess_overlap", "excess_overlap_p", "near_excess_overlap", "near_excess_overlap_p")
    return dict(zip(names, (value, p, near, near_p), strict=True))


def _shared_values(found: Mapping[str, Sharing]) -> Values:
    harm = found[named("harmful")]
    values = {"shared": harm.shared, "shared_p": harm.p_value}
    values |= {"participation": harm.participation, "participation_p": harm.participation_p}
    for aim in ("near", "far"):
        own = found[named(aim)]
        values |= {f"{aim}_shared": own.shared, f"{aim}_shared_p": own.p_value}
    return values
