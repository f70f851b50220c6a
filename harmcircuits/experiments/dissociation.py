"""The main job: do writing harm and recognising harm come apart in this model?

prompts → responses → instruments (development) → scores (training) → circuits and controls → readings (test) → verdict.
"""

import logging
from collections.abc import Mapping

from ..components import Circuit
from ..examples import Example
from ..models.protocol import HookedModel, check_hooks, geometry
from ..prompts.promptset import PromptSet
from ..tasks.teacher_forced import INTACT
from .battery import Outcomes, read_conditions
from .checks import MATCHED, RECOGNITION, ExperimentError, check_splits, given_circuits
from .controls import control_circuits
from .document import describe
from .evidence import gather, sensitivity
from .instruments import Instruments, choose_instruments
from .nulls import Nulls, measure_nulls
from .remarks import limits_of, remarks
from .result import Dissociation
from .scores import Scores, chosen_triples, default_circuits, respond, score, training_examples
from .settings import Settings
from .verdict import Verdict, judge

log = logging.getLogger(__name__)


def dissociate(
    model: HookedModel,
    circuit: Circuit | Mapping[str, Circuit] | None,
    test: PromptSet,
    *,
    train: PromptSet | None = None,
    development: PromptSet | None = None,
    settings: Settings | None = None,
    name: str = "",
    reproduce: str = "",
    progress: bool = False,
) -> Dissociation:
    """Measures writing and recognising of harm with and without `circuit`, against controls.

    docs/concepts.md defines every measure, with its unit and sign.

    Args:
        circuit: what to switch off; a mapping of several by name, the verdict being about the first; or None to select heads
            and neurons, heads alone and neurons alone from the training triples.
        test: triples that nothing else has touched.
        train: triples for shots, probe, aimed controls and nulls. None: those fields are null with the reason.
        development: triples on which formats are chosen. None: the first of each kind is taken.
        settings: sizes; `Settings()` by default.
        name: the model's name in the report.
        reproduce: the command to print in the report.

    Raises:
        ExperimentError: no triples, a test triple or a near-duplicate of one in training or development, development triples
            in training, no circuit and nothing to select one from, a circuit without components, or one with a name that
            means something else here ("intact").
        PromptError: a single category.
        CircuitError: a component that the model does not have.
        ModelError: with `train`, a layer without hook points. All of these come before anything is computed.
        ElicitError, SelectionError: as their rooms say.
    """
    chosen = settings or Settings()
    given = given_circuits(model, circuit)
    check_splits(given, test, train, development)
    if train is not None:
        layers = range(geometry(model).n_layers)
        check_hooks(model, heads=layers, neurons=layers)
    test = chosen_triples(test, chosen.test_triples, seed=chosen.seed)
    before_run = sensitivity(len(test.triples), chosen)
    log.info(before_run)
    examples = respond(model, test, chosen, progress=progress)
    instruments, scores = _prepared(model, train, development, chosen, progress)
    circuits = given or _selected(model, scores, chosen)
    main = next(iter(circuits))
    controls, missing = control_circuits(model, circuits[main], scores, chosen)
    conditions = {found: ("circuit", own) for found, own in circuits.items()} | controls
    outcomes = read_conditions(
        model, test, examples, {found: own for found, (_, own) in conditions.items()}, instruments, chosen, progress=progress
    )
    nulls = measure_nulls(model, circuits[main], scores, examples, chosen, progress=progress) if scores else None
    found = _judged(outcomes, main, circuits[main], nulls, instruments, chosen, missing)
    document = describe(
        model, conditions, outcomes, nulls, instruments, found, chosen, test=test, train=train, name=name, reproduce=reproduce
    )
    document["sensitivity_before_run"] = before_run
    document["limits"] += limits_of(instruments, missing, scores, given=bool(given))
    return Dissociation(document, outcomes.frame, outcomes.responses, circuits, scores, nulls)


def _prepared(
    model: HookedModel, train: PromptSet | None, development: PromptSet | None, settings: Settings, progress: bool
) -> tuple[Instruments, Scores | None]:
    """Instruments and scores, from training and development triples alone."""
    heard: list[Example] = []
    if development is not None and development.triples:
        few = chosen_triples(development, settings.development_triples, seed=settings.seed)
        heard = [one for one in respond(model, few, settings, progress=progress) if one.role != "far"]
    if train is None or not train.triples:
        return choose_instruments(model, None, development, [], heard, settings), None
    examples, twins = training_examples(model, train, settings, progress=progress)
    log.info("choosing formats on %d development twins", len(heard))
    instruments = choose_instruments(model, train, development, twins, heard, settings)
    return instruments, score(model, examples, twins, settings, aim=instruments.aim, progress=progress)


def _selected(model: HookedModel, scores: Scores | None, settings: Settings) -> dict[str, Circuit]:
    if scores is None:
        raise ExperimentError("no circuit was given, and no training triples to select one from: give either")
    return default_circuits(model, scores, settings)


def _judged(
    outcomes: Outcomes,
    main: str,
    circuit: Circuit,
    nulls: Nulls | None,
    instruments: Instruments,
    settings: Settings,
    missing: Mapping[str, str],
) -> Verdict:
    of = lambda name: None if name in missing else outcomes.by_triple(name)
    intact, changed = outcomes.by_triple(INTACT), outcomes.by_triple(main)
    found = gather(
        intact,
        changed,
        of(RECOGNITION),
        of(MATCHED),
        nulls,
        primary=instruments.primary,
        reading=instruments.reading,
        settings=settings,
        no_aimed=missing.get(RECOGNITION, ""),
        blind=instruments.blind(circuit),
        size=len(circuit),
        remarks=tuple(remarks(intact, changed, circuit, nulls, instruments, settings)),
    )
    return judge(found, name=main)
