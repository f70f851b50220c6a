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
from ...selection.protected import SelectionError, select
from .bench import Bench
from .grid import Grain, Size

ONE_SHOT, GREEDY = "one-shot", "greedy"
MAGNITUDE, FLIPPED, UNSIGNED, UNPROTECTED = "magnitude", "sign flipped", "unsigned", "no protection"

Ablated: TypeAlias = Circuit | WeightMask
Rule: TypeAlias = Callable[[Bench, Grain, Size], Ablated]
"""What is off. Raises SelectionError where that many cannot be selected."""


def one_shot(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """The set difference: the top of harmful A > 0 without the top of benign U, from the scores of the intact model."""
    return bench.circuit(grain, size)


def at_random(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """As many components in the same layers, or weights in the same matrices, drawn at random."""
    circuit, seed = bench.circuit(grain, size), bench.material.settings.seed
    if isinstance(circuit, WeightMask):
        return circuit.random_like(seed=seed)
    return circuit.random_like(bench.material.model, seed=seed)


def matched_at_random(bench: Bench, grain: Grain, size: Size) -> Ablated:
    """As `at_random`, of like |A|, U and protection (`selection.matched`); heads and neurons only."""
    circuit, settings = bench.circuit(grain, size), bench.material.settings
    if isinstance(circuit, WeightMask):
        raise SelectionError("matched random circuits are of heads and neurons: compare weights with random ones")
    return matched(circuit, bench.material.scores, settings, seed=settings.seed)


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
    TWINS: aimed_at_twins,
}


def controls_of(grain: Grain, asked: tuple[str, ...]) -> list[str]:
    """Those of `asked` that there are of a grain: no matched random weights."""
    return [name for name in asked if grain != "weights" or name != MATCHED]


def reference(grain: Grain) -> str:
    """The control that the circuit's area has to exceed."""
    return RANDOM if grain == "weights" else MATCHED


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
