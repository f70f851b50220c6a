"""Sums of weight gradients, layer by layer: exact, and no parameter gets a `.grad`.

1. One forward pass a batch without gradients keeps the input of every block, and ∂L/∂(output of the last block).
2. From the last layer to the first: compute the block again from its input, send the gradient back through it, and add up the
   gradients of its matrices over all batches. What comes out is the gradient at the block below.

For a linear layer y = W x at every position, with g = ∂L/∂y, an example's gradient is

    ∂L/∂W = Σ over positions of g xᵀ        [out, in].

Signed sums take one product gᵀx over all positions of a batch. Absolute sums need each example's own gradient: a batched
product over its own tokens, in blocks of rows of W that stay in the cache until their absolute values have been added.

Scores of a layer can be used and dropped before the next layer begins. Memory is then two residual streams of all examples and
the sums of one layer, instead of the sums of all layers (a 1.5B model: 1 GB instead of 21).
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import Cache

from ..data import Example, Prompt, batched, make_batch, map_batches
from ..errors import HarmcircuitsError
from ..models.matrices import Matrix, matrices
from ..models.protocol import HookedModel, check_gradients
from .metrics import BoundMetric, Metric, ModelMetric, bind_metric

_BLOCK = 2**23
"""Bytes of the gradients of a block of rows on a CPU: within its cache. A GPU takes 32 times as much."""
Sums = Literal["signed", "absolute"]
ExampleSet = tuple[Sequence[Example] | Sequence[Prompt], Metric | ModelMetric | None]


@dataclass(frozen=True, eq=False)
class GradientSums:
    """Sums over `n` examples, by matrix name, float32 [out, in]; a kind that is not wanted is empty.

    Attributes:
        signed: Σ_n ∂L_n/∂W.
        absolute: Σ_n |∂L_n/∂W|.
    """

    n: int
    signed: dict[str, Float[Tensor, "out in"]]
    absolute: dict[str, Float[Tensor, "out in"]]


def empty_sums(block: Sequence[Matrix], n: int, *, signed: bool, absolute: bool) -> GradientSums:
    """Return zeros beside each matrix."""
    zeros = lambda: {each.name: torch.zeros(each.shape, device=each.parameter.device) for each in block}
    return GradientSums(n, zeros() if signed else {}, zeros() if absolute else {})


def weight_scores(matrix: Matrix, sums: Sequence[GradientSums], *, kind: Sums) -> Float[Tensor, "out in"]:
    """Return A = −W ⊙ mean ∂L/∂W ("signed") or U = |W| ⊙ mean |∂L/∂W| ("absolute") over the examples of all `sums`."""
    weights = -matrix.values().float() if kind == "signed" else matrix.values().float().abs()
    gradients = reduce(torch.add, (getattr(each, kind)[matrix.name] for each in sums))
    scores: Tensor = weights * gradients / sum(each.n for each in sums)
    if not bool(scores.isfinite().all()):
        raise HarmcircuitsError(f"a score of {matrix.name} is not a number: does the matrix hold NaN or infinities?")
    return scores


def layer_sums(
    model: HookedModel, sets: Sequence[ExampleSet], *, signed: Collection[int], absolute: Collection[int], batch_size: int = 8
) -> Iterator[tuple[list[Matrix], list[GradientSums]]]:
    """Yield the matrices of each layer, the last layer first, with the sums of every set of examples.

    Args:
        sets: examples and the metric to attribute (None: the loss of the response), see `attribute`.
        signed, absolute: the sets whose sums are wanted.
        batch_size: rows a pass; sums do not depend on it, beyond rounding.

    Raises:
        HarmcircuitsError: see `attribute_weights`.
    """
    check_gradients(model, weights=True)
    by_layer: list[list[Matrix]] = [[] for _ in range(int(model.cfg.n_layers))]
    for matrix in matrices(model):
        by_layer[matrix.layer].append(matrix)
    bound = [bind_metric(model, examples, metric) for examples, metric in sets]
    steps = [
        [step for _, step in map_batches(batched(metric.rows, batch_size=batch_size), partial(_forward, model, metric))]
        for metric in bound
    ]
    for layer in reversed(range(len(by_layer))):
        block, sums = by_layer[layer], list[GradientSums]()
        for index, metric in enumerate(bound):
            sums.append(empty_sums(block, len(metric.rows), signed=index in signed, absolute=index in absolute))
            for step in steps[index]:
                _backward(model, layer, block, step, sums[-1])
        yield block, sums


@dataclass(eq=False)
class _Step:
    """One batch on its way down: the arguments of each block, and the gradient at the output of the block that is next."""

    examples: list[int]
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]]
    gradient: Float[Tensor, "b pos d_model"]


def _forward(model: HookedModel, metric: BoundMetric, examples: list[int]) -> _Step:
    """Read one batch: the arguments of each block, and the gradient of the metric at the last block's output."""
    arguments: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    end: list[Tensor] = []

    def record(module: object, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        arguments.append((tuple(map(_reusable, args)), {name: _reusable(value) for name, value in named.items()}))

    def begin(residual: Tensor, hook: object) -> Tensor:
        end.append(residual.detach().requires_grad_(True))
        return end[-1]

    blocks: Any = model.blocks  # type: ignore[attr-defined]
    with ExitStack() as stack:
        for block in blocks:
            stack.callback(block.register_forward_pre_hook(record, with_kwargs=True).remove)
        stack.enter_context(torch.enable_grad())
        stack.enter_context(model.hooks(fwd_hooks=[(f"blocks.{len(blocks) - 1}.hook_resid_post", begin)]))
        total = metric.score(make_batch(model, [metric.rows[index] for index in examples])).sum()
    if len(arguments) != len(blocks) or len(end) != 1:
        raise HarmcircuitsError("a metric must run the model once, to the end, for weights to be scored layer by layer")
    if not total.requires_grad:
        raise HarmcircuitsError("the metric does not depend on the last layer: it has no gradient (a constant, or detached?)")
    return _Step(examples, arguments, torch.autograd.grad(total, end)[0])


def _backward(model: HookedModel, layer: int, block: list[Matrix], step: _Step, sums: GradientSums) -> None:
    """Send the gradient of one batch through one block, from its output to its input."""
    (residual, *rest), named = step.arguments.pop()
    start = residual.requires_grad_(True)
    with torch.enable_grad(), _accumulate(block, len(step.examples), sums) as finite:
        output: Any = model.blocks[layer](start, *rest, **named)  # type: ignore[attr-defined]
        output = output[0] if isinstance(output, tuple) else output
        (step.gradient,) = torch.autograd.grad(output, [start], grad_outputs=step.gradient)
    for matrix in block:
        if not bool((numbers := finite[matrix.name]).all()):
            raise HarmcircuitsError(
                f"the gradient of {matrix.name} on example {step.examples[int(numbers.int().argmin())]} is not a number: "
                "activations or gradients overflow there. Load the model with dtype=torch.float32, or leave that example out."
            )


def _reusable(value: Any) -> Any:
    """An argument for a second call: detached, and without keys and values, to which a block would add its own again."""
    return value.detach() if isinstance(value, Tensor) else None if isinstance(value, Cache) else value


@contextmanager
def _accumulate(block: Sequence[Matrix], n: int, sums: GradientSums) -> Iterator[dict[str, Bool[Tensor, " b"]]]:
    """Add the gradients of `block` in one pass of `n` rows to `sums`; yields whether they are numbers, by matrix and row."""
    inputs: dict[str, Tensor] = {}
    finite: dict[str, Tensor] = {}
    used: list[str] = []

    def read(matrix: Matrix, x: Tensor) -> None:
        inputs[matrix.name] = x.detach()

    def wrote(matrix: Matrix, y: Tensor) -> None:
        used.append(matrix.name)
        if y.requires_grad:
            y.register_hook(partial(add, matrix, inputs.pop(matrix.name)))

    def add(matrix: Matrix, x: Tensor, g: Tensor) -> None:
        x, g = (part.detach().reshape(n, -1, size) for part, size in ((x, matrix.shape[1]), (g, matrix.shape[0])))
        finite[matrix.name] = g.sum((1, 2)).isfinite()
        _add(sums, matrix.name, x.float(), g.float())

    with ExitStack() as handles:
        for matrix in block:
            handles.callback(matrix.source.listen(partial(read, matrix)).remove)
            handles.callback(matrix.sink.listen(partial(wrote, matrix)).remove)
        yield finite
    if wrong := [matrix.name for matrix in block if used.count(matrix.name) != 1]:
        raise HarmcircuitsError(
            f"{wrong[0]} was used {used.count(wrong[0])} times in one forward pass: weights can only be scored where the model "
            "computes with them exactly once."
        )


def _add(sums: GradientSums, name: str, x: Float[Tensor, "b pos in"], g: Float[Tensor, "b pos out"]) -> None:
    signed, absolute = sums.signed.get(name), sums.absolute.get(name)
    if absolute is None:
        if signed is not None:
            signed.addmm_(g.flatten(0, 1).T, x.flatten(0, 1))
        return
    rows = max(16, (_BLOCK if x.device.type == "cpu" else 32 * _BLOCK) // (4 * len(x) * x.shape[2]))
    for start in range(0, len(absolute), rows):
        gradients = torch.bmm(g[:, :, start : start + rows].mT, x)
        if signed is not None:
            signed[start : start + rows] += gradients.sum(0)
        absolute[start : start + rows] += gradients.abs_().sum(0)
