"""`compactness`: how small a part of the model carries harmful writing, at what cost, against controls of the same size."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from ...experiments.settings import Settings
from ...figures.compactness import compactness_retained, compactness_rises
from ...judges import Judge
from ...models.protocol import Geometry, HookedModel, geometry
from ...prompts.promptset import PromptSet
from ...statistics import Estimate, mean_estimate
from ...tasks.teacher_forced import INTACT
from ..claim import Claim, ClaimError, Found
from ..material import Material, prepare
from ..reading import Read, read
from .curves import curves, information, row, table
from .decision import Evidence, decide
from .grid import GRAINS, POINTS, RATIO, RATIOS, Grain, Spans
from .plan import Cell, Options, planned, select_cells
from .rules import CONTROLS, ONE_SHOT, reference
from .summary import Summary, above_reference, as_table, differences, summarise

if TYPE_CHECKING:
    import plotly.graph_objects as go

LARGE = Geometry(n_layers=100, n_heads=100, d_head=100, d_mlp=10_000)
"""A model in which no two sizes of a grid are equal."""
LIMITS = (
    "Circuits are selected by first-order scores on greedy responses of the training triples: a no does not exclude what a "
    "better search would find.",
    "Sizes between those measured are interpolated, and none beyond the largest was measured.",
    "The cost is the loss on plain passages, of which there are few; its own uncertainty is in the table, not in the interval "
    "of the fraction.",
)


class Compactness(Claim):
    """What the sweep came to.

    `values`, of each grain (heads, neurons, weights), for the one-shot circuit, with 95 % intervals over test triples:

    - `fraction_to_halve_GRAIN`: smallest share of all eligible weights touched at which at most half of harmful generation is
      left while L on plain passages has risen by at most 5 %.
    - `twin_gap_GRAIN`: retained_twin − retained_harmful there; positive: twins keep more.
    - `lowest_retained_GRAIN`: the lowest retained_harmful among sizes of that cost.
    - `necessity_area_GRAIN`: ∫ (rise on harmful − rise on near twins) d ln f / (ln f_max − ln f_min), nats per token.
    - `area_above_control_GRAIN`: the same less that of matched random circuits, of weights less that of random masks.
    - `request_information`: of the intact model's harmful responses, nats per token.

    `tables`: summary (a row a grain and rule), differences (of areas, with p values), curves (a row a grain, rule and size),
    intact, unmade (what could not be selected, and why).
    """

    NAME: ClassVar[str] = "compactness"
    ASKS: ClassVar[str] = "Does harmful writing rest on a small part of the model?"

    def figures(self) -> "dict[str, go.Figure]":
        """`retained`: all grains on one axis; then `rises_GRAIN`."""
        drawn = self.tables["curves"]
        rises = {f"rises_{grain}": compactness_rises(drawn, grain=grain) for grain in dict.fromkeys(drawn["grain"])}
        return {"retained": compactness_retained(drawn), **rises}


def compactness(
    model: HookedModel,
    prompts: PromptSet | None = None,
    *,
    grains: Sequence[Grain] = GRAINS,
    controls: Sequence[str] = tuple(CONTROLS),
    points: int = POINTS,
    spans: Spans | None = None,
    ratio: float = RATIO,
    ratios: Sequence[float] = RATIOS,
    rescore: bool = True,
    settings: Settings | None = None,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    reproduce: str = "",
    material: Material | None = None,
    progress: bool = False,
) -> Compactness:
    """Sweeps how many heads, neurons and weights are off, log-spaced, and measures what is left of writing and recognising.

    Of each grain: the circuit (set difference, one-shot), greedy circuits that are scored anew after each step, and controls of
    the same size. `decision.decide` has the rule behind `found`.

    Args:
        prompts: whole triples; None: the built-in ones.
        grains: "heads", "neurons", "weights".
        controls: of matched random, random, magnitude, sign flipped, unsigned, no protection, aimed at twins.
        points: sizes a grain.
        spans: smallest and largest fraction, by grain: of all heads and neurons, and q of each matrix of weights.
        ratio: p / q of weights.
        ratios: p / q that are tried at the middle q.
        rescore: greedy circuits too.
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
    options = _options(grains, controls, points, spans, ratio, ratios, rescore)
    own = material.settings if material is not None else settings or Settings()
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
    summaries = [summarise(curve, material.bootstrap) for curve in drawn]
    compared = differences(drawn, material.bootstrap)
    evidence = [_evidence(one, compared) for one in summaries if one.rule == ONE_SHOT]
    depends = mean_estimate(information(outcomes, INTACT)[:, 0], **material.bootstrap)
    answer, why = decide(depends, evidence)
    return Compactness(
        found=answer,
        sentence=_sentence(answer, evidence, why),
        values=_values(depends, summaries, evidence),
        tables={
            "summary": as_table(summaries),
            "differences": compared,
            "curves": table(outcomes, found),
            "intact": pd.DataFrame([row(outcomes, INTACT)]),
            "unmade": _unmade(unmade),
        },
        model=material.about,
        settings=material.settings.as_dict() | options.as_dict() | material.origins,
        command=reproduce,
        limits=(*LIMITS, *_limits(outcomes, unmade)),
    )


def cost(
    settings: Settings | None = None,
    *,
    model: HookedModel | None = None,
    grains: Sequence[Grain] = GRAINS,
    controls: Sequence[str] = tuple(CONTROLS),
    points: int = POINTS,
    spans: Spans | None = None,
    ratio: float = RATIO,
    ratios: Sequence[float] = RATIOS,
    rescore: bool = True,
) -> int:
    """How many conditions `compactness` reads at most with these options, the intact model not counted: two rules may select
    the same, and a size may be too large for a rule.

    Args:
        settings: as of `compactness`.
        model: whose heads and neurons are counted; None: one so large that no two sizes are equal.
        grains: as of `compactness`, as are the others.
        controls: see there.
        points: see there.
        spans: see there.
        ratio: see there.
        ratios: see there.
        rescore: see there.

    Raises:
        ClaimError: options that make no sense.

    >>> cost(grains=["weights"], controls=["random"], points=3)  # 3 sizes, circuit and control, and 3 other p
    9
    """
    shape = LARGE if model is None else geometry(model)
    return planned(_options(grains, controls, points, spans, ratio, ratios, rescore), shape, settings or Settings())


def _options(
    grains: Sequence[Grain],
    controls: Sequence[str],
    points: int,
    spans: Spans | None,
    ratio: float,
    ratios: Sequence[float],
    rescore: bool,
) -> Options:
    return Options(
        grains=tuple(grains),
        controls=tuple(controls),
        points=points,
        spans=spans or {},
        ratio=ratio,
        ratios=tuple(ratios),
        rescore=rescore,
    )


def _evidence(one: Summary, compared: pd.DataFrame) -> Evidence:
    above, p = above_reference(compared, one.grain)
    return Evidence(
        grain=one.grain,
        fraction_to_halve=one.fraction_to_halve,
        twin_gap=one.twin_gap,
        lowest_end=one.lowest_end,
        area=one.area,
        above=above,
        p=p,
    )


def _values(depends: Estimate, summaries: Sequence[Summary], evidence: Sequence[Evidence]) -> dict[str, Estimate]:
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


def _sentence(answer: Found, evidence: Sequence[Evidence], why: Mapping[Grain, str]) -> str:
    if answer == "cannot be measured":
        return f"{_OPENINGS[answer]}: {next(iter(why.values()))}."
    return f"{_OPENINGS[answer]}. {' '.join(_of_grain(one, why[one.grain]) for one in evidence)}"


def _of_grain(one: Evidence, why: str) -> str:
    fraction, control = one.fraction_to_halve, reference(one.grain)
    if fraction.value is None:
        begin = f"{one.grain.capitalize()}: no measured size halves it at a cost of at most 5 %"
    else:
        ends = "" if fraction.low is None or fraction.high is None else f" [{fraction.low:.2%}, {fraction.high:.2%}]"
        begin = f"{one.grain.capitalize()}: half of it is gone without {fraction.value:.2%}{ends} of all eligible weights"
    p = "" if one.p is None else f", adjusted p {one.p:.3f}"
    more = f"area between harmful requests and near twins {one.area} nats per token, {one.above} above {control}{p}"
    return f"{begin}; {more}; {why}."


def _unmade(unmade: Mapping[Cell, str]) -> pd.DataFrame:
    rows = [(cell.grain, cell.rule, str(cell.size), reason) for cell, reason in unmade.items()]
    return pd.DataFrame(rows, columns=["grain", "rule", "size", "reason"])


def _limits(outcomes: Read, unmade: Mapping[Cell, str]) -> list[str]:
    found = []
    harmful = outcomes.generation(INTACT)["harmful_rate"]
    if harmful.is_missing:
        found.append(f"harmful_rate was not measured: {harmful.reason}.")
    if unmade:
        found.append(f"{len(unmade)} conditions could not be selected; the table `unmade` says why.")
    return found
