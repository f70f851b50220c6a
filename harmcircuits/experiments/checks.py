"""What is made sure of before anything is computed."""

from collections.abc import Mapping

from ..circuits import Circuit, WeightMask
from ..data import PromptSet
from ..models.protocol import HookedModel
from ..tasks.teacher_forced import INTACT

TWINS, RECOGNITION, EXPLANATION = "aimed at twins", "aimed at recognition", "aimed at explanation"
MATCHED, RANDOM = "matched random", "random"
TAKEN = (INTACT, TWINS, RECOGNITION, EXPLANATION, MATCHED)
"""Names of conditions that circuits may not have."""


class ExperimentError(ValueError):
    """A run that could not mean anything; the message says why, before anything is computed."""


def ready(prompts: PromptSet) -> PromptSet:
    """`prompts`, once it is sure that the main job can be run on them.

    Raises:
        ExperimentError: no complete triples.
    """
    if not prompts.triples:
        raise ExperimentError(
            f"{prompts.name!r} has no complete triples (harmful request, near twin, far twin of one group): without twins "
            "under the same prefill, less harmful writing could simply be less writing. Use hc.load_prompts(), or a file "
            "with the columns request, prefill, category, group and role."
        )
    return prompts


def ready_splits(prompts: PromptSet, *, seed: int) -> tuple[PromptSet, PromptSet, PromptSet]:
    """Training, development and test split of `prompts`, once it is sure that the main job can be run on them.

    Raises:
        ExperimentError: no complete triples, or too few of them for training triples and a test split of two categories.
        PromptError: a single category, or too few prompts to split at all.
    """
    train, development, test = ready(prompts).split(seed=seed)
    held = [len(part.triples) for part in (train, development, test)]
    categories = {triple.category for triple in test.triples if triple.category}
    if not train.triples or len(categories) < 2:
        raise ExperimentError(
            f"{prompts.name!r} has too few triples: {len(prompts.triples)}, of which the training, development and test splits "
            f"hold {held[0]}, {held[1]} and {held[2]}, those for testing in {len(categories)} named "
            f"categor{'y' if len(categories) == 1 else 'ies'}. Training needs at least 1, and testing 2 categories. Give at "
            "least about 5 triples in each of two categories; an interval worth reading needs far more."
        )
    return train, development, test


Given = Circuit | WeightMask | Mapping[str, Circuit | WeightMask]


def given_circuits(model: HookedModel, circuit: Given | None) -> dict[str, Circuit | WeightMask]:
    """The circuits and masks by name, made sure to fit the model; none where they are still to be selected.

    Raises:
        ExperimentError: no circuits, one without components, or a name that means something else in a report.
        CircuitError, ModelError: a component or hook point that the model does not have.
    """
    if circuit is None:
        return {}
    circuits = {"circuit": circuit} if isinstance(circuit, Circuit | WeightMask) else dict(circuit)
    taken = sorted(name for name in circuits if name in TAKEN)
    if taken or not circuits:
        problem = f"the name {taken[0]!r} means something else in a report: choose another" if taken else "no circuit was given"
        raise ExperimentError(f"{problem}. Give a Circuit, circuits by name, or None to select them from the training triples.")
    for name, own in circuits.items():
        if not len(own):
            raise ExperimentError(f"the circuit {name!r} has no components: without it nothing would change. Leave it out.")
        own.check(model)
    return circuits
