"""`generality`: selects by group, tests on every group, and asks whether it is one mechanism."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ...components import Circuit
from ...data import PromptSet
from ...experiments.checks import MATCHED as RANDOM
from ...experiments.controls import matched as matched_circuit
from ...experiments.settings import ClaimSettings
from ...judges import Judge
from ...models.protocol import HookedModel
from ...selection.protected import SelectionError
from ...store import alone_in_folder
from ...store.frames import as_frame, as_plain
from ..material import Material, prepare
from .claim import Generality
from .decision import Evidence, decide, sentence
from .overlaps import overlaps
from .plan import AIMS, MATCHED, SWAPS, Aim, Plan, check_options, check_prompts, kinds_of, plan, scores_on, selected
from .rises import rises_of
from .transfer import Transfer, across, as_table, ratio_across

log = logging.getLogger(__name__)
LIMITS = (
    "Intervals are over test triples. The kinds of harm are those of the prompts, not a sample of all kinds, and circuits are "
    "not selected anew in each draw.",
    "Circuits of single groups come from few training triples each, so that selection is noisier than on all of them.",
)


@alone_in_folder
def generality(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    matched: int = MATCHED,
    swaps: int = SWAPS,
    settings: ClaimSettings | None = None,
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
        check_prompts(prompts, settings or ClaimSettings())
        material = prepare(model, prompts, settings=settings, judge=judge, folder=folder, name=name, progress=progress)
    planned = plan(*kinds_of(material))
    circuits, missing = _circuits(material, planned)
    own = {group: circuits["harmful", group] for group in planned.groups if ("harmful", group) in circuits}
    controls = _matched(material, planned, own, matched)
    rises = rises_of(material, {**own, **controls}, progress=progress)
    test = kinds_of(material)[1]
    kept = [at for at, kind in enumerate(test) if planned.of[kind] in planned.groups]  # triples whose group was trained on
    groups, categories = [planned.of[test[at]] for at in kept], [test[at][1] for at in kept]
    tested = Transfer({group: rises[group][kept] for group in own}, groups, categories)
    mean = {group: np.mean([rises[group, draw][kept] for draw in range(matched)], axis=0) for group in own}
    options = {name: own for name, own in material.bootstrap.items() if name != "strata"}
    shown = dict(tested.rises) | ({RANDOM: np.mean(list(mean.values()), axis=0)} if mean else {})
    rows = [tested.row(name, one, group, options) for name, one in shown.items() for group in planned.groups]
    overlap, excess, p = overlaps(material, planned, circuits, swaps=swaps)
    diagonal, off = tested.diagonal(), tested.off_diagonal()
    evidence = Evidence(
        diagonal=across(diagonal, groups, options),
        off_diagonal=across(off, groups, options),
        beyond=across(off - Transfer(mean, groups, categories).off_diagonal(), groups, options),
        ratio=ratio_across(off, diagonal, groups, options),
        excess=excess,
        p_value=p,
    )
    decided = decide(evidence)
    tables = {"transfer": as_table(rows), "overlap": overlap}
    how = {"matched": matched, "swaps": swaps, "groups": list(planned.groups)}
    return Generality(
        found=decided,
        sentence=sentence(evidence, decided, n_groups=len(planned.groups)),
        values={
            "diagonal": evidence.diagonal,
            "off_diagonal": evidence.off_diagonal,
            "beyond_matched": evidence.beyond,
            "transfer_ratio": evidence.ratio,
            "excess_overlap": excess,
            "excess_overlap_p": p,
        },
        tables={name: as_frame(as_plain(frame)) for name, frame in tables.items()},
        model=material.about,
        settings=material.settings.as_dict() | how | material.origins,
        command=reproduce,
        limits=(*LIMITS, *missing),
    )


def _circuits(material: Material, planned: Plan) -> tuple[dict[tuple[Aim, str], Circuit], list[str]]:
    """By aim and group; and what could not be selected, with the reason."""
    found, missing = dict[tuple[Aim, str], Circuit](), list[str]()
    for aim in AIMS:
        for group in planned.groups:
            try:
                found[aim, group] = selected(material, planned, aim, group)
            except SelectionError as error:
                missing.append(f"No circuit aimed at {aim} responses from the triples of {group}: {error}")
                log.warning("%s", missing[-1])
    return found, missing


def _matched(material: Material, planned: Plan, own: dict[str, Circuit], n: int) -> dict[Any, Circuit]:
    """By group and draw."""
    found: dict[Any, Circuit] = {}
    for group, circuit in own.items():
        scores = scores_on(material, planned, group)
        for draw in range(n):
            seed = material.settings.seed * 1000 + draw
            found[group, draw] = matched_circuit(circuit, scores, material.settings, seed=seed)
    return found
