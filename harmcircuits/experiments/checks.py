"""What is made sure of before anything is computed."""

from collections.abc import Mapping

from ..components import Circuit
from ..models.protocol import HookedModel
from ..prompts.promptset import PromptSet
from ..prompts.splits import near_duplicate_groups
from ..tasks.teacher_forced import INTACT

TWINS, RECOGNITION, MATCHED, RANDOM = "aimed at twins", "aimed at recognition", "matched random", "random"
TAKEN = (INTACT, TWINS, RECOGNITION, MATCHED, RANDOM)
"""Names of conditions that circuits may not have."""


class ExperimentError(ValueError):
    """A run that could not mean anything; the message says why, before anything is computed."""


def ready(prompts: PromptSet) -> PromptSet:
    """`prompts`, once it is sure that the main job can be run on them.

    Raises:
        ExperimentError: no complete triples.
        PromptError: a single category.
    """
    if not prompts.triples:
        raise ExperimentError(
            f"{prompts.name!r} has no complete triples (harmful request, near twin, far twin of one group): without twins "
            "under the same prefill, less harmful writing could simply be less writing. Use hc.load_prompts(), or a file "
            "with the columns request, prefill, category, group and role."
        )
    prompts.require_categories(2)
    return prompts


def given_circuits(model: HookedModel, circuit: Circuit | Mapping[str, Circuit] | None) -> dict[str, Circuit]:
    """The circuits by name, made sure to fit the model; none where they are still to be selected."""
    if circuit is None:
        return {}
    circuits = dict(circuit) if isinstance(circuit, Mapping) else {"circuit": circuit}
    taken = sorted(set(TAKEN) & set(circuits))
    if taken or not circuits:
        problem = f"the name {taken[0]!r} means something else in a report: choose another" if taken else "no circuit was given"
        raise ExperimentError(f"{problem}. Give a Circuit, circuits by name, or None to select them from the training triples.")
    for own in circuits.values():
        own.check(model)
    return circuits


def check_splits(given: Mapping[str, Circuit], test: PromptSet, train: PromptSet | None, development: PromptSet | None) -> None:
    """Makes sure that the test triples can be read, and that nothing of them is in the other splits.

    Raises:
        ExperimentError, PromptError: see `dissociate`.
    """
    ready(test)
    if not given and (train is None or not train.triples):
        raise ExperimentError("no circuit was given, and no training triples to select one from: give either")
    for what, other in (("training", train), ("development", development)):
        if other is not None:
            check_held_out(test, other, what)


def check_held_out(test: PromptSet, other: PromptSet, what: str) -> None:
    """Raises ExperimentError where a test triple, or a near-duplicate of one, is in the split `what`."""
    shared = {prompt.group for prompt in test if prompt.group} & {prompt.group for prompt in other if prompt.group}
    both, n = (*test, *other), len(test)
    mixed = [unit for unit in near_duplicate_groups(both) if min(unit) < n <= max(unit)]
    if shared or mixed:
        raise ExperimentError(
            f"{len(shared)} test triples are also in the {what} split, and {len(mixed)} groups of near-duplicates lie in both: "
            "held out means held out. Split with prompts.split(), which keeps them together."
        )
