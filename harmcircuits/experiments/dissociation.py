"""The main job: do writing harm and recognising harm come apart in this model?

prompts → responses → instruments (development) → scores (training) → circuits and controls → readings (test) → verdict.
"""

import logging
from pathlib import Path

from ..judges import Judge
from ..models.protocol import HookedModel, check_hooks, geometry
from ..prompts.promptset import PromptSet
from ..store import alone_in_folder
from ..tasks.attacks import attacked
from ..tasks.teacher_forced import INTACT
from .checks import MATCHED, RECOGNITION, Given, check_splits, given_circuits
from .document import describe
from .evidence import gather, sensitivity
from .judged import about, harmful_rates
from .kept import Kept
from .manifest import manifest
from .names import name_of
from .result import Dissociation
from .run import Run, measure
from .scores import chosen_triples
from .settings import Settings
from .verdict import Verdict, judge

log = logging.getLogger(__name__)


@alone_in_folder
def dissociate(
    model: HookedModel,
    circuit: Given | None,
    test: PromptSet,
    *,
    train: PromptSet | None = None,
    development: PromptSet | None = None,
    settings: Settings | None = None,
    crossed: bool = False,
    judge: Judge | None = None,
    folder: str | Path | None = None,
    name: str = "",
    reproduce: str = "",
    progress: bool = False,
) -> Dissociation:
    """Measures writing and recognising of harm with and without `circuit`, against controls.

    docs/concepts.md defines every measure, with its unit and sign.

    Args:
        circuit: what to switch off, a `Circuit` or a `WeightMask`; a mapping of several by name, the verdict being about the
            first; or None to select heads and neurons, heads alone, neurons alone and weights from the training triples.
        test: triples that nothing else has touched.
        train: triples for shots, probe, aimed controls and nulls. None: those fields are null with the reason.
        development: triples on which formats are chosen. None: the first of each kind is taken.
        settings: sizes; `Settings()` by default.
        crossed: also aim the recipe at explanation, and cross aims with tasks.
        judge: reads what is written under each condition (`harmcircuits.judges`); it fills `harmful_rate` if it measures harm
            and has passed its validation (`judges.Validated`), and otherwise that is null with the reason.
        folder: for what is finished, so that a run that was stopped goes on where it was: numbers in its `journal/`, what the
            model wrote in the cache; None: nothing is kept but responses of the intact model.
        name: the model's name in the report.
        reproduce: the command to print in the report; "": none.

    Raises:
        ExperimentError: no triples, a test triple or a near-duplicate of one in training or development, development triples
            in training, no circuit and nothing to select one from, a circuit without components, one with a name that means
            something else here ("intact").
        PromptError: a single category.
        CircuitError, MaskError: a component or matrix that the model does not have.
        ModelError: with `train`, a layer without hook points. All of these come before anything is computed.
        ElicitError, SelectionError: as their rooms say.
        StoreError: the folder cannot be written.
    """
    chosen = settings or Settings()
    given = given_circuits(model, circuit)
    check_splits(given, test, train, development)
    if train is not None:
        layers = range(geometry(model).n_layers)
        check_hooks(model, heads=layers, neurons=layers)
    test = attacked(model, test, tokens=chosen.prefill_tokens)
    train, development = (
        None if part is None else attacked(model, part, tokens=chosen.prefill_tokens) for part in (train, development)
    )
    splits = {"train": train, "development": development, "test": test}
    off = {found: name_of(own) for found, own in given.items()}
    kept = Kept.at(model, folder, manifest(model, splits, chosen, circuits=off, crossed=crossed))
    test = chosen_triples(test, chosen.test_triples, seed=chosen.seed)
    log.info(sensitivity(len(test.triples), chosen))
    run = measure(
        model,
        given,
        test,
        train=train,
        development=development,
        settings=chosen,
        crossed=crossed,
        kept=kept,
        progress=progress,
    )
    rates = harmful_rates(judge, run.outcomes.responses, run.test, kept=kept)
    document = describe(model, run, _judged(run, chosen), rates, chosen, train=train, name=name, reproduce=reproduce)
    document["sensitivity_before_run"] = sensitivity(len(run.test.triples), chosen)
    document["limits"] += [f"There is no circuit {aim}: {why}" for aim, why in run.missing.items()]
    if judge is not None:
        document["judge"] = about(judge)
    controls = {found: own for found, (_, own) in run.conditions.items() if found not in run.circuits}
    outcomes = run.outcomes
    return Dissociation(
        report=document,
        outcomes=outcomes.frame,
        responses=outcomes.responses,
        items=outcomes.items,
        circuits=run.circuits,
        controls=controls,
        scores=run.scores,
        nulls=run.nulls,
    )


def _judged(run: Run, settings: Settings) -> Verdict:
    of = lambda name: None if name in run.missing else run.outcomes.by_triple(name)
    intact, changed = run.outcomes.by_triple(INTACT), run.outcomes.by_triple(run.main)
    found = gather(
        intact,
        changed,
        of(RECOGNITION),
        of(MATCHED),
        run.nulls,
        primary=run.instruments.primary,
        reading=run.instruments.reading,
        settings=settings,
        strata=run.outcomes.categories(),
        no_aimed=run.missing.get(RECOGNITION, ""),
        no_random=run.missing.get(MATCHED, ""),
    )
    return judge(found, name=run.main)
