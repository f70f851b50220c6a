"""`compare_alignment`: does harmful writing come to rest on a smaller part along a ladder of checkpoints?"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...data import PromptSet
from ...experiments.settings import ClaimSettings
from ...figures.alignment import alignment_separability
from ...models.load import load_model
from ...report.claims import ON_TRIPLES
from ...store import alone_in_folder
from ..earlier import Claim, ClaimError
from .compared import Results, compared, stopped
from .curve.curves import COST
from .curve.grid import GRAINS, RATIO, Grain, Spans
from .curve.summary import ALIKE
from .decision import LEVEL, decide
from .ladders import LADDER, Given, Load, stages
from .run import measured
from .stage import Measured, sweep_of
from .tables import tables
from .told import limits, sentence, values
from .unseen import refuse_seen

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = 4
QUICK: dict[str, Any] = {"points": 3, "grains": ("neurons", "weights")}
"""Options of a quick comparison."""


class Alignment(Claim):
    """What the stages of a ladder came to.

    `values`, of each grain (heads, neurons, weights) and of `own` and `fixed` responses, with 95 % intervals over test triples;
    changes are from the first stage to the last, by the line through all of them (`trends`):

    - `area_change_GRAIN_READING`: of the necessity area, nats per token; positive: harmful requests lose more than near twins,
      and more so at later stages. With `_beyond_matched_random`: less the change of matched random circuits' area; with
      `_beyond_CONTROL`: less that along the control ladder.
    - `fraction_change_GRAIN_READING`: of ln f, f the share of all eligible weights that halves harmful writing; negative: fewer
      do at later stages.

    `tables`: stages (a row a stage and set of responses: request information, refusals), areas, trends.
    """

    NAME: ClassVar[str] = "alignment"
    ASKS: ClassVar[str] = "Does alignment compress harmful writing onto a smaller part of the model?"
    METHOD: ClassVar[tuple[str, ...]] = (
        ON_TRIPLES,
        "Each checkpoint is swept: its own circuits and matched random ones of several sizes, once on its own responses "
        "and once on those of one fixed stage. The necessity area is the mean selectivity over the logarithm of the "
        "fraction that is off, over fractions that all stages share and at which L on plain passages rises by at most "
        f"{100 * COST:g} % of the intact model's. Of each triple the line through its stages gives the change from the "
        "first to the last; intervals are bootstraps over triples, p values flip signs over triples and are adjusted over "
        "everything that is tested.",
        "Yes: of some grain, on own and on fixed responses, the change of the area lies above 0 (interval, and adjusted p "
        f"at most {LEVEL:g}), beyond that of matched random circuits and beyond every control ladder likewise, and no "
        "more weights are needed to halve harmful writing. No: of every grain, on own or on fixed responses, one of these "
        f"changes is equivalent to none (within ± {ALIKE:g} nats per token) or lies below 0. The rule was fixed before "
        "anything was measured.",
    )

    def figures(self) -> "dict[str, go.Figure]":
        """`separability` along the ladder."""
        return {"separability": alignment_separability(self.tables["areas"])}


@alone_in_folder
def compare_alignment(
    models: Sequence[Given],
    prompts: PromptSet | None = None,
    *,
    names: Sequence[str] | None = None,
    fixed: int = 0,
    points: int = POINTS,
    grains: Sequence[Grain] = GRAINS,
    spans: Spans | None = None,
    ratio: float = RATIO,
    controls: Mapping[str, Sequence[Given]] | None = None,
    settings: ClaimSettings | None = None,
    load: Load = load_model,
    folder: str | Path | None = None,
    reproduce: str = "",
    progress: bool = False,
) -> Alignment:
    """Measures how compact harmful writing is at each checkpoint, on its own responses and on the same for all, and how that
    changes along the ladder.

    `decision.decide` has the rule behind `found`. What is given by name is loaded when its turn comes, and gone before the next
    one is. Every condition is kept in `folder/journal` when it is read.

        found = hc.compare_alignment(["base", "out/sft", "out/dpo"], controls={"style only": ["out/style1", "out/style2"]})

    Args:
        models: checkpoints in order, from the base on: hub ids, folders, files, or models that are held already.
        prompts: whole triples; None: the built-in ones.
        names: of the stages in results.
        fixed: which of `models` writes the responses that all stages are read on; it is measured first.
        points: sizes a grain (`compactness`).
        grains: "heads", "neurons", "weights".
        spans: as of `compactness`.
        ratio: p / q of weights.
        controls: other ladders by name, from the same base, which is left out: as many further checkpoints as `models` has.
        settings: sizes, as of `dissociate`.
        load: what a name is loaded with.
        folder: for what is finished, so that a run that was stopped can go on.
        reproduce: the command, for the file.
        progress: shows bars.

    Raises:
        ClaimError: a ladder, names, a control or options that make no sense, or a checkpoint of `finetune` that was trained on
            a request of a test triple, before anything is loaded.
        LoadError: a model that cannot be loaded.
        ExperimentError, PromptError, ElicitError, ModelError: see `prepare`.
        StoreError: `folder` cannot be written.

    Source: arXiv 2604.09544 (separability along base, SFT, DPO …).
    """
    every = stages(models, names, controls or {}, fixed=fixed)
    options, sizes = sweep_of(grains, points=points, spans=spans, ratio=ratio), settings or ClaimSettings()
    if not sizes.passages:
        raise ClaimError("passages=0: without plain passages the cost of a circuit is unknown. Give settings with passages")
    refuse_seen(every, prompts, sizes)
    with ExitStack() as stack:
        place = Path(folder) if folder is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        how: dict[str, Any] = {"settings": sizes, "folder": place, "progress": progress}
        found = measured(every, every[fixed], prompts, options=options, load=load, **how)
    results = Results(every, found)
    changes = compared(results, options.grains)
    evidence = changes.evidence(options.grains)
    answer, why = decide(stopped(results), evidence)
    ladders = {name: results.ladder(name) for name in (LADDER, *results.controls)}
    return Alignment(
        found=answer,
        sentence=sentence(answer, evidence, why),
        values=values(changes),
        tables=tables(results, changes, options.grains),
        model=_about(results),
        settings=sizes.as_dict() | options.as_dict() | {"ladders": ladders, "fixed": every[fixed].name},
        command=reproduce,
        limits=limits(results, options.grains),
    )


def _about(results: Results) -> dict[str, Any]:
    """The ladder as one model of many stages."""
    of = lambda name: own.about if isinstance(own := results.found[name, "own"], Measured) else {"name": name}
    ladder = results.ladder(LADDER)
    controls = {name: [of(stage) for stage in results.ladder(name)[1:]] for name in results.controls}
    return {"name": " → ".join(ladder), "stages": [of(name) for name in ladder], "controls": controls}
