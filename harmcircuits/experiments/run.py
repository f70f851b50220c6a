"""From prompts to measurements: everything that the verdict and the report are made of, as it is measured."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from ..attribution.scores import Attribution
from ..components import Circuit, WeightMask
from ..examples import Example
from ..models.protocol import HookedModel
from ..prompts.promptset import PromptSet
from .asked import Asked, explained_prompts, lay_out
from .battery import Outcomes, read_conditions
from .checks import EXPLANATION, RECOGNITION, ExperimentError
from .controls import control_circuits, explanation_scores
from .crossed import EXPLANATION as EXPLAINING
from .crossed import GENERATION
from .crossed import RECOGNITION as RECOGNISING
from .instruments import Instruments, choose_instruments
from .kept import Kept
from .nulls import Nulls, measure_nulls
from .scores import Scores, chosen_triples, default_circuits, respond, score, training_examples, weight_mask
from .settings import Settings

log = logging.getLogger(__name__)
Circuits = dict[str, Circuit | WeightMask]


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """What was measured, before it is put in words.

    Attributes:
        circuits: what is tested; the verdict is about the first.
        conditions: circuits and controls, by name, with their kind.
        missing: conditions that could not be made, with the reason.
        aims: the condition aimed at each task, where the crossed table was asked for.
    """

    test: PromptSet
    instruments: Instruments
    scores: Scores | None
    circuits: Circuits
    conditions: Mapping[str, tuple[str, Circuit | WeightMask]]
    missing: Mapping[str, str]
    outcomes: Outcomes
    nulls: Nulls | None
    unexplained: str
    aims: Mapping[str, str]

    @property
    def main(self) -> str:
        """The name of the circuit that the verdict is about."""
        return next(iter(self.circuits))


def measure(
    model: HookedModel,
    given: Mapping[str, Circuit | WeightMask],
    test: PromptSet,
    *,
    train: PromptSet | None,
    development: PromptSet | None,
    settings: Settings,
    crossed: bool = False,
    kept: Kept | None = None,
    progress: bool = False,
) -> Run:
    """Everything, on splits that are known to be in order (`checks`); what is `kept` from before is not measured again."""
    kept = kept or Kept()
    examples = respond(model, test, settings, progress=progress)
    instruments, scores, mask = _prepared(model, train, development, settings, kept, progress)
    circuits: Circuits = dict(given) or _selected(model, scores, mask, settings)
    main = next(iter(circuits))
    aimed, unaimed = _explaining(model, train, settings, kept, progress) if crossed else (None, {})
    controls, missing = control_circuits(circuits[main], scores, settings, explanation=aimed)
    conditions = {found: ("circuit", own) for found, own in circuits.items()} | controls
    asked = lay_out(test, examples, instruments, settings)
    off = {found: own for found, (_, own) in conditions.items()}
    outcomes = read_conditions(model, asked, off, kept=kept, progress=progress)
    return Run(
        test=test,
        instruments=instruments,
        scores=scores,
        circuits=circuits,
        conditions=conditions,
        missing=missing | unaimed,
        outcomes=outcomes,
        nulls=_nulls(model, circuits[main], scores, asked, kept, progress),
        unexplained=asked.unexplained,
        aims=_aims(main, conditions) if crossed else {},
    )


def _prepared(
    model: HookedModel,
    train: PromptSet | None,
    development: PromptSet | None,
    settings: Settings,
    kept: Kept,
    progress: bool,
) -> tuple[Instruments, Scores | None, WeightMask | None]:
    """Instruments, scores and the mask of weights, from training and development triples alone."""
    heard: list[Example] = []
    if development is not None and development.triples:
        few = chosen_triples(development, settings.development_triples, seed=settings.seed)
        heard = [one for one in respond(model, few, settings, progress=progress) if one.role != "far"]
    if train is None or not train.triples:
        return choose_instruments(model, None, development, [], heard, settings), None, None
    examples, twins = training_examples(model, train, settings, progress=progress)
    log.info("choosing formats on %d development twins", len(heard))
    instruments = choose_instruments(model, train, development, twins, heard, settings)
    found = score(model, examples, twins, settings, aim=instruments.aim, kept=kept, progress=progress)
    return instruments, found, weight_mask(model, examples, settings, kept=kept, progress=progress)


def _selected(model: HookedModel, scores: Scores | None, mask: WeightMask | None, settings: Settings) -> Circuits:
    if scores is None:
        raise ExperimentError("no circuit was given, and no training triples to select one from: give either")
    named: Circuits = dict(default_circuits(model, scores, settings))
    return named | ({"weights": mask} if mask is not None else {})


def _explaining(
    model: HookedModel, train: PromptSet | None, settings: Settings, kept: Kept, progress: bool
) -> tuple[Attribution | None, dict[str, str]]:
    """The scores to aim at explanation by; or why there are none, as a condition that is missing."""
    if train is None or not train.triples:
        return None, {EXPLANATION: "no training split was given"}
    spread = chosen_triples(train, len(train.triples), seed=settings.seed)
    harmful, why = explained_prompts(spread, settings.aim_triples, setting="aim_triples")
    if why:
        log.warning("no circuit is aimed at explanation: %s", why)
        return None, {EXPLANATION: why}
    aimed = partial(explanation_scores, model, harmful, progress=progress)
    return kept.file("explanation", aimed, load=Attribution.load, save=Attribution.save), {}


def _nulls(
    model: HookedModel,
    circuit: Circuit | WeightMask,
    scores: Scores | None,
    asked: Asked,
    kept: Kept,
    progress: bool,
) -> Nulls | None:
    """Nulls are of heads and neurons: none for a mask of weights, or without scores to draw from."""
    if scores is None or not isinstance(circuit, Circuit):
        return None
    return measure_nulls(model, circuit, scores, asked.examples, asked.settings, kept=kept, progress=progress)


def _aims(main: str, conditions: Mapping[str, object]) -> dict[str, str]:
    aims = {GENERATION: main, RECOGNISING: RECOGNITION, EXPLAINING: EXPLANATION}
    return {task: name for task, name in aims.items() if name in conditions}
