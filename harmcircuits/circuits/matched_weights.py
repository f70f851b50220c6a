"""The matched random null of single weights: others of the same matrices that look as important."""

from random import Random

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..attribution.weights import WeightAttribution
from .weight_mask import WeightMask
from .weight_selection import SelectionError, top_fraction

NEAREST = 8


def matched_weights(mask: WeightMask, W: WeightAttribution, *, p: float, seed: int, nearest: int = NEAREST) -> WeightMask:
    """As many weights of each matrix as `mask` has, outside it, unprotected (not in the top p of U), and of like |A|.

    For each weight of the mask, in random order, one of the `nearest` others in |A| that are not drawn yet is drawn. The sign
    of A is left free, as in `matched_random`.

    >>> A = torch.tensor([[4.0, -4.0, 0.1, 3.0]])
    >>> W = WeightAttribution({"blocks.0.mlp.in": A}, {"blocks.0.mlp.in": A.abs()}, n_examples=1)
    >>> mask = WeightMask(indices={"blocks.0.mlp.in": [0]}, shapes=W.shapes)
    >>> matched_weights(mask, W, p=0, seed=0, nearest=1).indices["blocks.0.mlp.in"]
    tensor([1])

    Args:
        mask: what `select_weights` found.
        W: the scores that it was selected from.
        p: fraction of each matrix that is protected, as `select_weights` was given.
        seed: other seeds, other draws.
        nearest: candidates for each weight.

    Raises:
        SelectionError: a matrix has too few other weights.
    """
    random, drawn = Random(f"matched weights {seed}"), {}
    for name, own in mask.indices.items():
        size, protect = W.signed[name].flatten().abs(), W.absolute[name].flatten()
        others = torch.ones(len(size), dtype=torch.bool)
        others[top_fraction(protect, p)] = False
        others[own] = False
        places = others.nonzero().flatten()
        if len(places) < len(own):
            raise SelectionError(f"{name} has {len(places)} other weights to match {len(own)} with: lower q or p")
        places = places[_within_reach(size[places], size[own], len(own) + nearest)]
        values, order = size[places].sort(stable=True)
        drawn[name] = places[order[_drawn(values, size[own], random, nearest)]]
    return WeightMask(indices=drawn, shapes=mask.shapes)


def _within_reach(values: Float[Tensor, " other"], wanted: Float[Tensor, " own"], n: int) -> Bool[Tensor, " other"]:
    """Those that can be drawn: all from the least of `wanted` on, and the `n` next below, since no draw walks further. To sort
    these takes a fraction of the time that all would: a mask's weights lie at the top of |A|."""
    least = wanted.min()
    below = values[values < least]
    if len(below) > n:
        least = below.topk(n).values[-1]
    elif len(below):
        least = below.min()
    return values >= least


def _drawn(values: Float[Tensor, " other"], wanted: Float[Tensor, " own"], random: Random, nearest: int) -> list[int]:
    """Places in `values`, which rise, each once."""
    every = list(zip(torch.searchsorted(values, wanted).tolist(), wanted.tolist(), strict=True))
    sizes, drawn = values.numpy(), list[int]()
    # where the next place that is not drawn yet may be: a mask's weights crowd at the top of |A|, where walking over all that
    # were drawn before would take the square of their number
    up, down = dict[int, int](), dict[int, int]()
    for start, size in random.sample(every, len(every)):
        place = random.choice(_near(sizes, size, start, up, down, nearest))
        up[place], down[place] = place + 1, place - 1
        drawn.append(place)
    return sorted(drawn)


def _near(
    sizes: Float[np.ndarray, " other"], size: float, start: int, up: dict[int, int], down: dict[int, int], nearest: int
) -> list[int]:
    """The `nearest` free places in order of distance from `size`, which belongs before `start`."""
    low, high, near = _free(down, start - 1), _free(up, start), list[int]()
    while len(near) < nearest and (low >= 0 or high < len(sizes)):
        if high >= len(sizes) or (low >= 0 and size - sizes[low] <= sizes[high] - size):
            near.append(low)
            low = _free(down, low - 1)
        else:
            near.append(high)
            high = _free(up, high + 1)
    return near


def _free(skip: dict[int, int], at: int) -> int:
    """The first place from `at` on that is not drawn; the way there is shortened for the next time."""
    found = at
    while found in skip:
        found = skip[found]
    while at != found:
        skip[at], at = found, skip[at]
    return found
