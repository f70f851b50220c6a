"""`compactness`: how small a part of the model carries harmful writing, at what cost, against controls of the same size."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from ...experiments.settings import ClaimSettings
from ...figures.compactness import compactness_retained, compactness_rises, compactness_utility
from ...judges import Judge
from ...models.protocol import HookedModel
from ...prompts.promptset import PromptSet
from ...report.claims import ON_TRIPLES
from ...statistics import mean_estimate
from ...store import alone_in_folder
from ...tasks.teacher_forced import INTACT
from ..claim import Claim, ClaimError
from ..material import Material, prepare
from ..reading import read
from .curves import COST, curves, information, table
from .decision import LEVEL, SMALL, collect_evidence, decide, sentence
from .grid import GRAINS, POINTS, RATIO, Grain, Spans
from .plan import ONE_SHOT, Options, select_cells
from .summary import as_table, differences, summarise

if TYPE_CHECKING:
    import plotly.graph_objects as go

LIMITS = (
    "Circuits are selected by first-order scores on greedy responses of the training triples: a no does not exclude what a "
    "better search would find.",
    "Sizes between those measured are interpolated, and none beyond the largest was measured.",
    "The cost is the loss on plain passages, of which there are few; its own uncertainty is in the table, not in the interval "
    "of the fraction.",
)
ONE_DRAW = (
    "Of matched random there is one draw at each size: intervals and p values are over triples and do not cover other draws. "
    "An area averages over the draws of its sizes, which are independent."
)
MATCHED_WEIGHTS = (
    "A mask of weights takes nearly all with a large A above 0 that are not protected: of like |A|, most that are left for "
    "matched random may have A below 0."
)


class Compactness(Claim):
    """What the sweep came to.

    `values`, of each grain (heads, neurons, weights), for the one-shot circuit, with 95 % intervals over test triples:

    - `fraction_to_halve_GRAIN`: smallest share of all eligible weights touched at which at most half of harmful generation is
      left while L on plain passages has risen by at most 5 %.
    - `twin_gap_GRAIN`: retained_twin − retained_harmful there; positive: twins keep more.
    - `lowest_retained_GRAIN`: the lowest retained_harmful among sizes of that cost.
    - `necessity_area_GRAIN`: ∫ (rise on harmful − rise on near twins) d ln f / (ln f_max − ln f_min) over sizes of that cost,
      nats per token.
    - `area_above_control_GRAIN`: the same less that of matched random circuits.
    - `request_information`: of the intact model's harmful responses, nats per token.

    `tables`: summary (a row a grain and rule), differences (of areas, with p values), curves (a row a grain, rule and size),
    unmade (what could not be selected, and why).
    """

    NAME: ClassVar[str] = "compactness"
    ASKS: ClassVar[str] = "Does harmful writing rest on a small part of the model?"
    METHOD: ClassVar[tuple[str, ...]] = (
        ON_TRIPLES,
        "Heads, neurons and single weights are switched off in log-spaced numbers, those with the most A first and "
        "without those that near and far twins need most, and so are controls of the same size. The share that halves is "
        "the smallest share of all eligible weights at which at most half of the request information of harmful responses "
        f"is left, while L on plain passages rises by at most {100 * COST:g} % of the intact model's. The necessity area "
        "is the mean selectivity over the logarithm of the fraction that is off, over the sizes within that cost; its p "
        "values flip signs over triples and are adjusted over controls and grains.",
        f"Yes: of some grain, the upper end of the share that halves is at most {100 * SMALL:g} %; near twins keep more "
        "there than harmful requests; and the area exceeds 0 and that of matched random circuits (adjusted p at most "
        f"{LEVEL:g}). No: every grain was swept to its end, and of each it is shown that the half is not reached within "
        "that cost, or takes more weights than that, or that twins fall as much. Intervals are paired bootstraps over "
        "triples. The rule was fixed before a real model was measured, but for two corrections after a first look at "
        "SmolLM2: at which q and p weights are swept, and that a no takes a sweep to the end.",
    )

    def figures(self) -> "dict[str, go.Figure]":
        """`retained`: all grains on one axis; then of each grain `rises_GRAIN` and `utility_GRAIN`."""
        curves = self.tables["curves"]
        found = {"retained": compactness_retained(curves)}
        for grain in dict.fromkeys(curves["grain"]):
            found[f"rises_{grain}"] = compactness_rises(curves, grain=grain)
            if curves[curves["grain"] == grain]["plain_share"].notna().any():
                found[f"utility_{grain}"] = compactness_utility(curves, grain=grain)
        return found

    def _first_figure(self) -> "go.Figure":
        return compactness_retained(self.tables["curves"])


@alone_in_folder
def compactness(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    grains: Sequence[Grain] = GRAINS,
    points: int = POINTS,
    spans: Spans | None = None,
    ratio: float = RATIO,
    settings: ClaimSettings | None = None,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    reproduce: str = "",
    material: Material | None = None,
    progress: bool = False,
) -> Compactness:
    """Sweeps how many heads, neurons and weights are off, log-spaced, and measures what is left of writing.

    Of each grain: the circuit (set difference), and of the same size matched random circuits and ones aimed at near twins.
    `decision.decide` has the rule behind `found`.

    Args:
        prompts: whole triples; None: the built-in ones.
        grains: "heads", "neurons", "weights".
        points: sizes a grain.
        spans: smallest and largest fraction, by grain: of all heads and neurons, and q of each matrix of weights.
        ratio: p / q of weights.
        settings: sizes, as of `dissociate`.
        judge: of what conditions write.
        folder: for what is finished, so that a run that was stopped can go on.
        name: the model's name in results.
        reproduce: the command, for the file.
        material: what `prepare` gave; prompts, settings, judge, folder and name are then not used.
        progress: shows a bar.

    Raises:
        ClaimError: options that make no sense, before anything is computed; or no circuit of any size could be selected.
        ExperimentError, PromptError, ElicitError, ModelError: see `prepare`.
        StoreError: `folder` cannot be written.

    Source: arXiv 2604.09544 (set difference, sweeps of p and q); the area after the integrated metrics of the MIB benchmark
    (Mueller et al. 2025).
    """
    options = Options(grains=tuple(grains), points=points, spans=spans or {}, ratio=ratio)
    own = material.settings if material is not None else settings or ClaimSettings()
    if not own.passages:
        raise ClaimError(
            "passages=0: without plain passages the cost of a circuit is unknown. Give settings with passages of 1 on"
        )
    if material is None:
        how = {"settings": settings, "judge": judge, "folder": folder, "name": name, "progress": progress}
        material = prepare(model, prompts, **how)  # type: ignore[arg-type]
    found, unmade = select_cells(material, options)
    if not any(cell.rule == ONE_SHOT for cell in found):
        raise ClaimError(f"no circuit of any size could be selected: {next(iter(unmade.values()))}")
    outcomes = read(material, {cell.name: off for cell, off in found.items()}, progress=progress)
    drawn = curves(outcomes, found)
    admissible = {curve.grain: curve.admissible for curve in drawn if curve.rule == ONE_SHOT}
    summaries = [summarise(curve, material.bootstrap, among=admissible.get(curve.grain, [])) for curve in drawn]
    compared = differences(drawn, material.bootstrap)
    evidence = collect_evidence(options.grains, drawn, summaries, compared, unmade)
    depends = mean_estimate(information(outcomes, INTACT)[:, 0], **material.bootstrap)
    answer, why = decide(depends, evidence)
    above = {one.grain: one.above for one in evidence}
    values = {"request_information": depends}
    for one in summaries:
        if one.rule == ONE_SHOT:
            values |= {
                f"fraction_to_halve_{one.grain}": one.fraction_to_halve,
                f"twin_gap_{one.grain}": one.twin_gap,
                f"lowest_retained_{one.grain}": one.lowest_retained,
                f"necessity_area_{one.grain}": one.area,
                f"area_above_control_{one.grain}": above[one.grain],
            }
    limits = [*LIMITS, ONE_DRAW, *([MATCHED_WEIGHTS] if "weights" in options.grains else [])]
    judged = outcomes.generation(INTACT)["harmful_rate"]
    if judged.is_missing:
        limits.append(f"harmful_rate was not measured: {judged.reason}.")
    if unmade:
        limits.append(f"{len(unmade)} conditions could not be selected; the table `unmade` says why.")
    missing = [(cell.grain, cell.rule, str(cell.size), reason) for cell, reason in unmade.items()]
    return Compactness(
        found=answer,
        sentence=sentence(answer, evidence, why),
        values=values,
        tables={
            "summary": as_table(summaries),
            "differences": compared,
            "curves": table(outcomes, found),
            "unmade": pd.DataFrame(missing, columns=["grain", "rule", "size", "reason"]),
        },
        model=material.about,
        settings=material.settings.as_dict() | options.as_dict() | material.origins,
        command=reproduce,
        limits=tuple(limits),
    )
