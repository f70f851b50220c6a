"""The label-swap null of all groups and both aims: as `selection.swapped`, many draws at once as products of matrices."""

from collections.abc import Mapping, Sequence
from math import floor

import numpy as np
from jaxtyping import Bool, Float, Int

from ...experiments.scores import Scores

AT_ONCE = 32
"""Draws that are selected together: some 50 MB of scores in a model with 50,000 components."""
ATTRIBUTES = {"heads": "per_example_heads", "neurons": "per_example_neurons"}
Coins = Bool[np.ndarray, "draw triple"]
Chosen = Bool[np.ndarray, "draw component"]


def swapped_overlaps(
    groups: Sequence[Scores], *, sizes: Mapping[str, int], protect: Mapping[str, float], draws: int, seed: int
) -> Float[np.ndarray, "draw circuit circuit"]:
    """Jaccard index of every two circuits in every draw: first those aimed at harmful responses, by group, then at near ones.

    Harmful and near are swapped by one fair coin a triple, the same for both aims, and all circuits are selected again from the
    stored scores, as `select` does. nan where one of the two cannot be selected.

    Args:
        groups: the scores of each group's triples.
        sizes: heads and neurons of each circuit.
        protect: the protected fraction of each kind.
    """
    random, n = np.random.default_rng(seed), len(groups)
    coins = [random.random((draws, group.harmful.n_examples)) < 0.5 for group in groups]
    found = np.full((draws, 2 * n, 2 * n), np.nan)
    for start in range(0, draws, AT_ONCE):
        some = slice(start, start + AT_ONCE)
        swaps = [own[some] for own in coins]
        swaps += [~own for own in swaps]  # aimed at near: what is called harmful for the one aim is called near for the other
        chosen = [_circuits(group, own, sizes, protect) for group, own in zip((*groups, *groups), swaps, strict=True)]
        found[some] = _jaccard(chosen)
    return found


def _circuits(
    scores: Scores, swap: Coins, sizes: Mapping[str, int], protect: Mapping[str, float]
) -> tuple[Chosen, Bool[np.ndarray, " draw"]]:
    """What is selected in each draw, where `swap` says which triples' near response is called harmful; and whether it could."""
    chosen, there = [], np.ones(len(swap), dtype=bool)
    for kind, count in sizes.items():
        harmful, near, far = (_flat(own, kind) for own in (scores.harmful, scores.near, scores.far))
        both = np.concatenate([harmful, near])
        # two products: a sum of differences would leave rounding where there is nothing, and A > 0 there
        A = np.concatenate([~swap, swap], 1).astype(float) @ both / len(harmful)
        U = (np.concatenate([swap, ~swap], 1).astype(float) @ np.abs(both) + np.abs(far).sum(0)) / (len(near) + len(far))
        eligible = (A > 0) & ~_top(U, floor(protect[kind] * U.shape[1] + 1e-9))
        there &= eligible.sum(1) >= count
        chosen.append(_top(np.where(eligible, A, -np.inf), count))
    return np.concatenate(chosen, 1), there


def _flat(scores: object, kind: str) -> Float[np.ndarray, "triple component"]:
    return np.asarray(getattr(scores, ATTRIBUTES[kind]).flatten(1).double().numpy())


def _top(scores: Float[np.ndarray, "draw component"], count: int) -> Chosen:
    """The `count` largest of each row; of equal ones the first, as a stable sort has it. No sort: a threshold."""
    width = scores.shape[1]
    if not 0 < count < width:
        return np.full(scores.shape, count > 0)
    edge = np.partition(scores, width - count, axis=1)[:, width - count, None]
    above, equal = scores > edge, scores == edge
    left = count - above.sum(1, keepdims=True)
    if (equal.sum(1, keepdims=True) > left).any():
        equal &= equal.cumsum(1) <= left
    return np.asarray(above | equal)


def _jaccard(chosen: Sequence[tuple[Chosen, Bool[np.ndarray, " draw"]]]) -> Float[np.ndarray, "draw circuit circuit"]:
    """All circuits of a draw have as many components."""
    found = np.full((len(chosen[0][1]), len(chosen), len(chosen)), np.nan)
    places: list[Int[np.ndarray, "draw k"]] = [own.nonzero()[1].reshape(len(own), -1) for own, _ in chosen]
    for at, (_, there) in enumerate(chosen):
        for other, (mask, too) in enumerate(chosen):
            size = places[at].shape[1]
            shared = np.take_along_axis(mask, places[at], 1).sum(1)
            found[:, at, other] = np.where(there & too, shared / np.maximum(1, 2 * size - shared), np.nan)
    return found
