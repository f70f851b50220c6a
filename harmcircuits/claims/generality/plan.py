"""Which circuits are selected on which training triples: known before anything is computed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ...components import Circuit
from ...data import PromptSet, load_prompts
from ...experiments.checks import ready_splits
from ...experiments.scores import Scores, chosen_triples, first_triples, recipe
from ...experiments.settings import ClaimSettings
from ...models.protocol import geometry
from ..earlier import ClaimError
from ..material import Material

Aim: TypeAlias = Literal["harmful", "near"]
AIMS: tuple[Aim, ...] = get_args(Aim)
Kind: TypeAlias = tuple[str, str]
"""Harm group and category of a triple."""
MATCHED = 3
"""Matched random circuits of each group, by default."""
SWAPS = 499
"""Draws of the label-swap null, by default: they run no model. With 39, whose smallest p is 0.025, one pair of six alone could
not be significant."""


@dataclass(frozen=True)
class Plan:
    """What is to be selected and tested.

    Attributes:
        groups: what transfer is measured between: harm groups, or categories where there is only one harm group.
        of: the group of each kind.
    """

    groups: tuple[str, ...]
    of: dict[Kind, str]


def plan(train: Sequence[Kind], test: Sequence[Kind]) -> Plan:
    """What the kinds of the training and test triples allow.

    Groups without a training or a test triple are left out.

    Raises:
        ClaimError: fewer than two kinds of harm are in both splits: nothing could be transferred.

    >>> plan([("a", "x"), ("b", "y")], [("b", "y"), ("a", "x")]).groups
    ('a', 'b')
    """
    by_group = len(set(_both(train, test, 0))) > 1
    groups = _both(train, test, 0 if by_group else 1)
    if len(groups) < 2:
        found = f"only {groups[0]!r} has" if groups else "no kind of harm has"
        raise ClaimError(
            f"{found} both training and test triples: generality needs at least two harm groups or categories that have. Give "
            "prompts with more categories, or raise attribution_triples and test_triples."
        )
    of = {kind: kind[0] if by_group else kind[1] for kind in (*train, *test)}
    return Plan(groups, of)


def _both(train: Iterable[Kind], test: Iterable[Kind], at: int) -> tuple[str, ...]:
    """In the order of their names, so that two splits of the same prompts are planned alike."""
    return tuple(sorted({kind[at] for kind in train} & {kind[at] for kind in test}))


def kinds_of(material: Material) -> tuple[list[Kind], list[Kind]]:
    """Of the training and the test triples."""
    train = list(zip(material.training_harm_groups, material.training_categories, strict=True))
    return train, list(zip(material.harm_groups, material.categories, strict=True))


def check_prompts(prompts: PromptSet | None, settings: ClaimSettings) -> None:
    """Raises ClaimError where nothing could be transferred; no model is needed to know.

    Raises:
        ExperimentError, PromptError: prompts on which nothing can be measured.
    """
    train, _, test = ready_splits(prompts if prompts is not None else load_prompts(), seed=settings.seed)
    most = max(settings.attribution_triples, settings.probe_triples)
    train = first_triples(chosen_triples(train, most, seed=settings.seed), settings.attribution_triples)
    plan(_kinds(train), _kinds(chosen_triples(test, settings.test_triples, seed=settings.seed)))


def _kinds(prompts: PromptSet) -> list[Kind]:
    return [(triple.harmful.harm_group or triple.category, triple.category) for triple in prompts.triples]


def check_options(matched: int, swaps: int = SWAPS) -> None:
    """Raises ClaimError unless each group has a control, and the null a number of draws."""
    if isinstance(swaps, bool) or not isinstance(swaps, int) or swaps < 0:
        raise ClaimError(f"swaps is how many draws of swapped labels overlaps are compared with: 0 or more, not {swaps!r}")
    if isinstance(matched, bool) or not isinstance(matched, int) or matched < 1:
        raise ClaimError(
            f"matched is how many matched random circuits stand beside each group's: at least 1, not {matched!r}. Without one, "
            "a circuit that hurts everything would look general."
        )


def scores_on(material: Material, planned: Plan, group: str) -> Scores:
    """The stored scores of a group's training triples."""
    train, scores = kinds_of(material)[0], material.scores
    rows = [at for at, kind in enumerate(train) if planned.of[kind] == group]
    return Scores(scores.harmful[rows], scores.near[rows], scores.far[rows], None)


def sizes(material: Material) -> dict[str, int]:
    """Heads and neurons of every circuit, those of the default circuit."""
    shape = geometry(material.model)
    return {"heads": material.settings.n_heads(shape), "neurons": material.settings.n_neurons(shape)}


def selected(material: Material, planned: Plan, aim: Aim, group: str) -> Circuit:
    """The circuit aimed at one role's responses of a group's training triples, the other roles protected; heads and neurons at
    the default counts.

    Raises:
        SelectionError: too few components promote the target and are not protected.
    """
    scores = scores_on(material, planned, group)
    aimed, other = (scores.harmful, scores.near) if aim == "harmful" else (scores.near, scores.harmful)
    return recipe(aimed, other + scores.far, material.settings, **sizes(material))
