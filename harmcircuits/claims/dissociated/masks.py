"""Single weights by the same recipe, whatever the aim; and random ones that look as important."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from math import floor
from random import Random

import torch
from jaxtyping import Float
from torch import Tensor

from ...attribution.weight_scores import WeightAttribution
from ...attribution.weights import attribute_weights
from ...components import WeightMask
from ...examples import Prompt
from ...experiments.checks import EXPLANATION, MATCHED, RECOGNITION, TWINS
from ...selection.protected import SelectionError
from ...selection.weights import select_weights
from ...tasks.explanation import explanation_examples
from ..material import ROLES, Material
from .aims import AIMS, WRITING

log = logging.getLogger(__name__)

NO_WEIGHTS = "weights were not asked for: weight_q is 0"
NEAREST = 8


def weight_masks(
    material: Material, learnt: Sequence[Prompt], why: str, *, progress: bool = False
) -> dict[str, WeightMask | str]:
    """By aim, the mask of q and p, or why there is none. Of each matrix: the top q of A of the aim − the top p of U.

    A is that of harmful responses (generation), of the loss of the right label after harmful and near responses (recognition),
    of reference explanations, and of near twins' responses; U is that of near and far twins' responses, and for the circuit
    aimed at twins that of harmful and far ones. As q and p are the same and what is left is not, masks differ in size.
    """
    model, settings, training = material.model, material.settings, material.training
    harmful, near, far = ([one for at, one in enumerate(training) if at % ROLES == role] for role in range(ROLES))
    twins = [one for pair in zip(harmful, near, strict=True) for one in pair][: 2 * settings.aim_triples]
    writing, aim = material.weight_scores, material.instruments.aim
    scored: dict[str, Callable[[], WeightAttribution]] = {
        WRITING: lambda: writing,
        RECOGNITION: lambda: attribute_weights(model, twins, metric=aim, batch_size=4, progress=progress),
        EXPLANATION: lambda: attribute_weights(model, explanation_examples(learnt), progress=progress),
        TWINS: lambda: attribute_weights(model, near, benign=[*harmful, *far], progress=progress),
    }
    made: dict[str, WeightMask | str] = {EXPLANATION: why} if why else {}
    for name, scores in scored.items():
        if name not in made:
            protect = None if name == TWINS else writing
            select = partial(select_weights, q=settings.weight_q, p=settings.weight_p, protect=protect)
            made[name] = _or_reason(name, partial(select, scores()))
    circuit = made[WRITING]
    match = partial(matched_weights, W=writing, p=settings.weight_p, seed=settings.seed)
    made[MATCHED] = circuit if isinstance(circuit, str) else _or_reason(MATCHED, partial(match, circuit))
    return {name: made[name] for name in AIMS}


def _or_reason(name: str, select: Callable[[], WeightMask]) -> WeightMask | str:
    try:
        return select()
    except SelectionError as error:
        log.warning("no mask of weights %s: %s", name, error)
        return str(error)


def matched_weights(mask: WeightMask, W: WeightAttribution, *, p: float, seed: int, nearest: int = NEAREST) -> WeightMask:
    """As many weights of each matrix as `mask` has, outside it, unprotected (not in the top p of U), and of like |A|.

    For each weight of the mask, in random order, one of the `nearest` free ones in |A| is drawn; where none of these is free,
    of twice as many, and so on. The sign of A is left free, as in `matched_random`.

    Raises:
        SelectionError: a matrix has too few other weights.

    >>> A = torch.tensor([[4.0, -4.0, 0.1, 3.0]])
    >>> W = WeightAttribution({"blocks.0.mlp.in": A}, {"blocks.0.mlp.in": A.abs()}, n_examples=1)
    >>> mask = WeightMask(indices={"blocks.0.mlp.in": [0]}, shapes=W.shapes)
    >>> matched_weights(mask, W, p=0, seed=0, nearest=1).indices["blocks.0.mlp.in"]
    tensor([1])
    """
    random, drawn = Random(f"matched weights {seed}"), {}
    for name, own in mask.indices.items():
        size, protect = W.signed[name].flatten().abs(), W.absolute[name].flatten()
        free = torch.ones(len(size), dtype=torch.bool)
        free[protect.topk(floor(p * len(size) + 1e-9)).indices] = False
        free[own] = False
        places = free.nonzero().flatten()
        if len(places) < len(own):
            raise SelectionError(f"{name} has {len(places)} other weights to match {len(own)} with: lower q or p")
        values, order = size[places].sort()
        drawn[name] = places[order[_drawn(values, size[own], random, nearest)]]
    return WeightMask(indices=drawn, shapes=mask.shapes)


def _drawn(values: Float[Tensor, " free"], wanted: Float[Tensor, " own"], random: Random, nearest: int) -> list[int]:
    """Places in `values`, which rise, each once."""
    every = list(zip(torch.searchsorted(values, wanted).tolist(), wanted.tolist(), strict=True))
    sizes, taken = values.tolist(), set[int]()
    for start, size in random.sample(every, len(every)):
        reach, left = nearest, list[int]()
        while not left:
            left = [at for at in range(max(0, start - reach), min(len(sizes), start + reach)) if at not in taken]
            reach *= 2
        near = sorted(left, key=partial(_distance, sizes, size))[:nearest]
        taken.add(random.choice(near))
    return sorted(taken)


def _distance(sizes: Sequence[float], size: float, at: int) -> tuple[float, int]:
    return abs(sizes[at] - size), at
