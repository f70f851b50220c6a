"""Sums of weight gradients, layer by layer: exact, and accumulators of one layer at a time.

1. One forward pass a batch without gradients keeps the input of every block, and ∂L/∂(output of the last block).
2. From the last layer to the first: compute the block again from its input, send the gradient back through it, and add up the
   gradients of its matrices over all batches (`weight_gradients`). What comes out is the gradient at the block below.

Scores of a layer can be used and dropped before the next layer begins. Memory is then two residual streams of all examples and
the sums of one layer, instead of the sums of all layers (a 1.5B model: 1 GB instead of 21).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Cache

from ..data import Batch, Example, Prompt, batched, make_batch, map_batches
from ..models.gradient_checks import check_gradients
from ..models.matrices import Matrix, matrices
from ..models.protocol import HookedModel, ModelError
from .metrics import BoundMetric, Metric, ModelMetric, bind_metric
from .scores import AttributionError
from .weight_gradients import Sums, accumulate, empty_sums


@dataclass(frozen=True)
class LayerSums:
    """Gradient sums of a set of `n` examples over the matrices of one layer."""

    n: int
    sums: Sums

    def signed(self, matrix: Matrix) -> Float[Tensor, "out in"]:
        """Return A = −W ⊙ mean ∂L/∂W."""
        return self._scores(matrix, self.sums.signed, -matrix.values().float())

    def absolute(self, matrix: Matrix) -> Float[Tensor, "out in"]:
        """Return U = |W| ⊙ mean |∂L/∂W|."""
        return self._scores(matrix, self.sums.absolute, matrix.values().float().abs())

    def _scores(self, matrix: Matrix, sums: Mapping[str, Tensor], weights: Tensor) -> Tensor:
        scores = weights * sums[matrix.name] / self.n
        if not bool(scores.isfinite().all()):
            raise AttributionError(f"a score of {matrix.name} is not a number: does the matrix hold NaN or infinities?")
        return scores


def pooled(found: Sequence[LayerSums], name: str, places: Sequence[int]) -> LayerSums:
    """Return the sums of the sets at `places` over one matrix as those of one set."""
    parts = [found[place] for place in places]
    kinds = [[getattr(part.sums, kind) for part in parts] for kind in ("signed", "absolute")]
    added = [{name: reduce(torch.add, [own[name] for own in kind])} if all(kind) else {} for kind in kinds]
    return LayerSums(sum(part.n for part in parts), Sums(*added))


ExampleSet = tuple[Sequence[Example] | Sequence[Prompt], Metric | ModelMetric | None]


def layer_sums(
    model: HookedModel,
    sets: Sequence[ExampleSet],
    *,
    batch_size: int = 8,
    signed: Collection[int] | None = None,
    absolute: Collection[int] | None = None,
) -> Iterator[tuple[list[Matrix], list[LayerSums]]]:
    """Yield the matrices of each layer, the last layer first, with the sums of every set of examples.

    Args:
        sets: examples and the metric to attribute (None: the loss of the response), see `attribute`.
        batch_size: rows a pass; sums do not depend on it, beyond rounding.
        signed, absolute: the sets whose sums are wanted; None: all.

    Raises:
        AttributionError, BatchError, ExampleError, ModelError: see `attribute_weights`.
    """
    check_gradients(model, weights=True)
    by_layer: list[list[Matrix]] = [[] for _ in range(int(model.cfg.n_layers))]
    for matrix in matrices(model):
        by_layer[matrix.layer].append(matrix)
    bound = [bind_metric(model, examples, metric) for examples, metric in sets]
    steps = [list(_forward(model, own, batch_size)) for own in bound]
    for layer in reversed(range(len(by_layer))):
        found = []
        for index, (own, waiting) in enumerate(zip(bound, steps, strict=True)):
            wanted = {"signed": signed is None or index in signed, "absolute": absolute is None or index in absolute}
            sums = empty_sums(by_layer[layer], **wanted)
            for step in waiting:
                _backward(model, layer, by_layer[layer], step, sums)
            found.append(LayerSums(len(own.rows), sums))
        yield by_layer[layer], found


@dataclass(eq=False)
class _Step:
    """One batch on its way down: the arguments of each block, and the gradient at the output of the block that is next."""

    examples: list[int]
    batch: Batch
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]
    gradient: Float[Tensor, "b pos d_model"]


def _forward(model: HookedModel, metric: BoundMetric, batch_size: int) -> Iterator[_Step]:
    def step(indices: list[int]) -> _Step:
        batch = make_batch(model, [metric.rows[index] for index in indices])
        return _Step(indices, batch, *_forward_batch(model, metric, batch))

    for _, made in map_batches(batched(metric.rows, batch_size=batch_size), step):
        yield made


def _forward_batch(model: HookedModel, metric: BoundMetric, batch: Batch) -> tuple[list[Any], Tensor]:
    """The arguments of each block, and the gradient of the metric at the last block's output."""
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    end: list[Tensor] = []

    def keep(module: object, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        arguments.append((tuple(map(_reusable, args)), {name: _reusable(value) for name, value in named.items()}))

    def begin(residual: Tensor, hook: object) -> Tensor:
        end.append(residual.detach().requires_grad_(True))
        return end[-1]

    blocks: Any = model.blocks  # type: ignore[attr-defined]
    with ExitStack() as stack:
        for block in blocks:
            stack.callback(block.register_forward_pre_hook(keep, with_kwargs=True).remove)
        stack.enter_context(torch.enable_grad())
        stack.enter_context(model.hooks(fwd_hooks=[(f"blocks.{len(blocks) - 1}.hook_resid_post", begin)]))
        total = metric.score(batch).sum()
    if len(arguments) != len(blocks) or len(end) != 1:
        raise ModelError("a metric must run the model once, to the end, for weights to be scored layer by layer")
    if not total.requires_grad:
        raise AttributionError("the metric does not depend on the last layer: it has no gradient (a constant, or detached?)")
    return arguments, torch.autograd.grad(total, end)[0]


def _backward(model: HookedModel, layer: int, block: list[Matrix], step: _Step, sums: Sums) -> None:
    """Send the gradient of one batch through one block, from its output to its input."""
    (residual, *rest), named = step.arguments.pop()
    start = residual.requires_grad_(True)
    with torch.enable_grad(), accumulate(block, step.batch, sums) as finite:
        output: Any = model.blocks[layer](start, *rest, **named)  # type: ignore[attr-defined]
        output = output[0] if isinstance(output, tuple) else output
        (step.gradient,) = torch.autograd.grad(output, [start], grad_outputs=step.gradient)
    numbers = torch.stack([finite[matrix.name] for matrix in block])
    if not bool(numbers.all()):
        matrix, row = (int(index) for index in (~numbers).nonzero()[0])
        raise AttributionError(
            f"the gradient of {block[matrix].name} on example {step.examples[row]} is not a number: activations or gradients "
            "overflow there. Load the model with dtype=torch.float32, or leave that example out."
        )


def _reusable(value: Any) -> Any:
    """An argument for a second call: detached, and without keys and values, to which a block would add its own again."""
    return value.detach() if isinstance(value, Tensor) else None if isinstance(value, Cache) else value
