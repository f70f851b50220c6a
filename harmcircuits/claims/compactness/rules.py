"""What is off at each size: the circuit, and controls of the same size, each a small function of one signature.

Of heads and neurons, a control has as many components as the circuit; of weights, as many in each matrix.
"""

from collections.abc import Callable, Iterator, Mapping
from math import floor
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...attribution.scores import Attribution
from ...components import Circuit, WeightMask
from ...experiments.checks import MATCHED, RANDOM, TWINS
from ...experiments.controls import matched
from ...models.matrices import matrices
from ...selection.matched_weights import matched_weights
from ...selection.protected import SelectionError, select
from .bench import Bench
from .grid import Grain, Size

ONE_SHOT, GREEDY = "one-shot", "greedy"
MAGNITUDE, FLIPPED, UNSIGNED, UNPROTECTED = "magnitude", "sign flipped", "unsigned", "no protection"
FAR_ALONE = "far twins protected alone"
SEEDS = 100_003
"""Between the seeds of two sizes: more than seeds that anybody gives are apart."""

Ablated: TypeAlias = Circuit | WeightMask
Rule: TypeAlias = Callable[[Bench, Grain, Size], Ablated]
"""What is off. Raises SelectionError where that many cannot be selected."""


def one_shot(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """The set difference: the top of harmful A > 0 without the top of benign U, from the scores of the intact model."""
    return bench.circuit(grain, size)


def at_random(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """As many components in the same layers, or weights in the same matrices, drawn at random."""
    circuit, seed = bench.circuit(grain, size), _seed(bench, size)
    if isinstance(circuit, WeightMask):
        return circuit.random_like(seed=seed)
    return circuit.random_like(bench.material.model, seed=seed)


def matched_at_random(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """As `at_random`, but other components of like |A|, U and protection (`selection.matched`), or other weights that are not
    protected and of like |A| (`selection.matched_weights`)."""
    circuit, seed = bench.circuit(grain, size), _seed(bench, size)
    if isinstance(circuit, WeightMask):
        return matched_weights(circuit, bench.material.weight_scores, p=size.p, seed=seed)
    return matched(circuit, bench.material.scores, bench.material.settings, seed=seed)


def by_magnitude(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """The largest outgoing weights, by Frobenius norm, or the largest |W|: no attribution, no protection."""
    if grain == "weights":
        live = {matrix.name: matrix.values() for matrix in matrices(bench.material.model)}
        return _as_many(bench, size, _Of(live, lambda weights: weights.float().cpu().abs()), None)
    return _of_count(bench.magnitudes, grain, size)


def sign_flipped(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """The same recipe on −A: what most holds harmful text back."""
    if grain == "weights":
        W = bench.material.weight_scores
        return _as_many(bench, size, _Of(W.signed, torch.neg), W.absolute)
    return bench.by_recipe(_changed(bench.material.scores.harmful, torch.neg), bench.material.scores.benign, grain, size)


def unsigned(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """The same recipe on the size of A whatever its sign: the mean of |A| over harmful examples, or |A_W|."""
    if grain == "weights":
        W = bench.material.weight_scores
        return _as_many(bench, size, _Of(W.signed, torch.abs), W.absolute)
    return bench.by_recipe(_changed(bench.material.scores.harmful, torch.abs), bench.material.scores.benign, grain, size)


def unprotected(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """The top of harmful A; whatever benign text needs is not left out."""
    if grain == "weights":
        return _as_many(bench, size, bench.material.weight_scores.signed, None)
    return _of_count(bench.material.scores.harmful, grain, size)


def far_alone_protected(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """The same recipe with U of far twins' responses alone, requests about something else: the paper protects what general
    instructions need, and knows no near twins."""
    scores = bench.material.scores
    if grain == "weights":
        return _as_many(bench, size, bench.far_weights.signed, bench.far_weights.absolute)
    return bench.by_recipe(scores.harmful, scores.far, grain, size)


def aimed_at_twins(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """The same recipe aimed at the near twins' responses, with harmful and far ones protected."""
    scores = bench.material.scores
    if grain == "weights":
        return _as_many(bench, size, bench.twin_weights.signed, bench.twin_weights.absolute)
    return bench.by_recipe(scores.near, scores.harmful + scores.far, grain, size)


CONTROLS: dict[str, Rule] = {
    MATCHED: matched_at_random,
    RANDOM: at_random,
    MAGNITUDE: by_magnitude,
    FLIPPED: sign_flipped,
    UNSIGNED: unsigned,
    UNPROTECTED: unprotected,
    FAR_ALONE: far_alone_protected,
    TWINS: aimed_at_twins,
}


REFERENCE = MATCHED
"""The control that the circuit's area has to exceed. Plain random components do next to nothing: they prove little."""


def _seed(bench: Bench, size: Size) -> int:
    """Another one at each size: draws of one seed share their beginning, and the area could not average over them."""
    return bench.material.settings.seed + SEEDS * size.at


class _Of(Mapping[str, Tensor]):
    """Scores changed one matrix at a time: all of a model's at once would be as large as the model."""

    def __init__(self, scores: Mapping[str, Tensor], change: Callable[[Tensor], Tensor]):
        self._scores, self._change = scores, change

    def __getitem__(self, name: str) -> Tensor:
        return self._change(self._scores[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)


def _changed(scores: Attribution, change: Callable[[Tensor], Tensor]) -> Attribution:
    return Attribution(change(scores.per_example_heads), change(scores.per_example_neurons))


def _of_count(scores: Attribution, grain: Grain, size: Size) -> Circuit:
    return select(scores, heads=size.count if grain == "heads" else 0, neurons=size.count if grain == "neurons" else 0)


def _as_many(
    bench: Bench, size: Size, scores: Mapping[str, Float[Tensor, "out in"]], U: Mapping[str, Float[Tensor, "out in"]] | None
) -> WeightMask:
    """In each matrix as many weights as the circuit has there: the largest scores above 0 outside the top p of U."""
    circuit = bench.circuit("weights", size)
    assert isinstance(circuit, WeightMask)
    found: dict[str, Int[Tensor, " n"]] = {}
    for name, own in circuit.indices.items():
        score = scores[name].flatten().clone()
        if U is not None:
            protected = U[name].flatten().topk(floor(size.p * score.numel() + 1e-9), sorted=False).indices
            score[protected] = 0
        left = int((score > 0).sum())
        if left < len(own):
            raise SelectionError(f"{len(own)} weights of {name} were asked for, but {left} are left: lower p or q")
        found[name] = score.topk(len(own), sorted=False).indices
    return WeightMask(indices=found, shapes=circuit.shapes)
