"""Weight scores layer by layer: exact, one forward pass, and accumulators of a single layer at a time.

1. One forward pass a batch without gradients keeps the input of every block, and ∂L/∂(output of the last block).
2. From the last layer to the first: compute the block again from its input, send the gradient back through it, and add up the
   gradients of its matrices over all batches (`weight_gradients`); what comes out is the gradient at the block below.

Scores of one layer are selected from and dropped before the next layer begins. Memory: two residual streams of all examples and
the sums of one layer, instead of the sums of all layers (a 1.5B model: 1 GB instead of 21).

Sums are those of `attribute_weights`, in another order.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch, Example, Prompt, batched, make_batch, row_length
from ..models.gradients import check_gradients
from ..models.matrices import Matrix, matrices
from ..models.protocol import HookedModel, ModelError
from .passes import Metric, ModelMetric, Reading, laid_out
from .scores import AttributionError
from .weight_gradients import Sums, accumulate, empty_sums

CACHES = ("past_key_values", "past_key_value", "past_kv_cache_entry")
"""Arguments of a block that a second call would change."""


@dataclass(eq=False)
class _Step:
    """One batch on its way down: the arguments of each block, and the gradient at the output of the block that is next."""

    batch: Batch
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]
    gradient: Float[Tensor, "b pos d_model"]


@dataclass(frozen=True)
class LayerSums:
    """Sums of one set of examples over one layer.

    Attributes:
        n: examples.
        sums: Σ_n ∂L_n/∂W and Σ_n |∂L_n/∂W| by matrix name.
    """

    n: int
    sums: Sums

    def signed(self, matrix: Matrix) -> Float[Tensor, "out in"]:
        """A = −W ⊙ mean ∂L/∂W; positive: the weight promotes the response."""
        return -matrix.values().float() * self.sums.signed[matrix.name] / self.n

    def absolute(self, matrix: Matrix) -> Float[Tensor, "out in"]:
        """U = |W| ⊙ mean |∂L/∂W|, the absolute value taken per example."""
        return matrix.values().float().abs() * self.sums.absolute[matrix.name] / self.n


def pooled(parts: Sequence[LayerSums], name: str) -> LayerSums:
    """Return the sums of several sets of examples over one matrix as those of one set."""
    add = lambda kind: {name: reduce(torch.add, [getattr(part.sums, kind)[name] for part in parts])}
    return LayerSums(sum(part.n for part in parts), Sums(add("signed"), add("absolute")))


ExampleSet = tuple[Sequence[Example] | Sequence[Prompt], Metric | ModelMetric | None]


def layer_sums(
    model: HookedModel, sets: Sequence[ExampleSet], *, batch_size: int = 8
) -> Iterator[tuple[list[Matrix], list[LayerSums]]]:
    """Yield the matrices of each layer, the last layer first, with the sums of every set of examples.

    Args:
        sets: examples and the metric to attribute (None: the loss of the response), see `attribute`.
        batch_size: rows a pass; sums do not depend on it, beyond rounding.

    Raises:
        AttributionError: a gradient that is not a number.
        ExampleError: an example without a response, where the metric reads responses.
        ModelError: matrices that cannot be found, or a state in which gradients mean something else.
    """
    check_gradients(model, weights=True)
    by_layer: list[list[Matrix]] = [[] for _ in range(int(model.cfg.n_layers))]
    for matrix in matrices(model):
        by_layer[matrix.layer].append(matrix)
    readings = [laid_out(model, examples, metric) for examples, metric in sets]
    steps = [[_forward(model, reading, batch) for batch in _batches(model, reading, batch_size)] for reading in readings]
    for layer in range(len(by_layer) - 1, -1, -1):
        block = by_layer[layer]
        found = []
        for reading, waiting in zip(readings, steps, strict=True):
            sums = empty_sums(block, signed=True, absolute=True, device=None)
            for step in waiting:
                _backward(model, layer, block, step, sums)
            found.append(LayerSums(len(reading.rows), sums))
        yield block, found


def _batches(model: HookedModel, reading: Reading, batch_size: int) -> Iterator[Batch]:
    for indices in batched(reading.rows, batch_size=batch_size, length=row_length):
        yield make_batch(model, [reading.rows[index] for index in indices])


def _forward(model: HookedModel, reading: Reading, batch: Batch) -> _Step:
    """The metric of a batch, with a graph from the last block's output on."""
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    end: list[Tensor] = []

    def keep(module: object, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        arguments.append((tuple(map(_detached, args)), {name: _detached(named[name]) for name in named if name not in CACHES}))

    def begin(residual: Tensor, hook: object) -> Tensor:
        end.append(residual.detach().requires_grad_(True))
        return end[-1]

    blocks: Any = model.blocks  # type: ignore[attr-defined]
    with ExitStack() as stack:
        for block in blocks:
            stack.callback(block.register_forward_pre_hook(keep, with_kwargs=True).remove)
        stack.enter_context(torch.enable_grad())
        stack.enter_context(model.hooks(fwd_hooks=[(f"blocks.{len(blocks) - 1}.hook_resid_post", begin)]))
        total = reading.score(batch).sum()
    if len(arguments) != len(blocks) or len(end) != 1:
        raise ModelError("a metric must run the model once, to the end, for weights to be scored layer by layer")
    (gradient,) = torch.autograd.grad(total, end)
    return _Step(batch, arguments, gradient)


def _backward(model: HookedModel, layer: int, matrices_of_layer: list[Matrix], step: _Step, sums: Sums) -> None:
    """Send the gradient of one batch through one block, from its output to its input."""
    block: Any = model.blocks[layer]  # type: ignore[attr-defined]
    (residual, *rest), named = step.arguments.pop()
    start = residual.requires_grad_(True)
    with torch.enable_grad(), accumulate(matrices_of_layer, step.batch, sums) as finite:
        output = block(start, *rest, **named)
        output = output[0] if isinstance(output, tuple) else output
        (step.gradient,) = torch.autograd.grad(output, [start], grad_outputs=step.gradient)
    if not all(bool(rows.all()) for rows in finite.values()):
        name = next(name for name, rows in finite.items() if not bool(rows.all()))
        raise AttributionError(
            f"the gradient of {name} is not a number: the model's activations or gradients overflow there. Load the model with "
            "dtype=torch.float32, or leave that example out."
        )


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value
