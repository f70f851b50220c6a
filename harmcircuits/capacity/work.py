"""FLOPs and bytes of the passes that everything here is made of, for the shape of a model.

With T tokens in rows of s, `asked` of them unembedded, N weights in the matrices of the blocks, V words, L layers, h heads:

    forward            2·N·T + 4·L·h·d_head·s·T + 2·V·d_model·asked
    backward           the same for gradients of linear layers' inputs, twice the attention term: no weight gets a gradient; for
                       scores of heads and neurons it ends at the first layer's heads
    weight gradients   2·N·T more                                   (gᵀx; per example, the same)
    fine-tuning        forward and backward, the unembedding once more
    generation         a forward pass over the prompts, then one over one token a row and step, which attends all before it

A multiplication and an addition are two FLOPs. Attention is counted over the whole square of positions, as eager attention
computes it. Bytes are those that must come from memory and go there: weights once a pass; activations as eager layers read and
write them (`MOVED_…`); and for scores of weights the accumulators, read and written for each batch (signed) or example
(absolute).
"""

from dataclasses import dataclass

from ..attribution.weights import FULL
from ..models.shape import Shape

MOVED_MODEL, MOVED_MLP, MOVED_SQUARE = 32, 6, 10
"""Numbers that a layer reads or writes outside its matrices in a forward pass, in units of d_model and d_mlp a token (norms,
residuals, rotations; activation and gate), and of each head's square of positions (scaling, mask, softmax). Twice in a backward
pass."""

SUMMED = {"cpu": 2 * FULL, "gpu": 6 * FULL}
"""Bytes a weight that its sum takes: read and written. A CPU adds up in blocks that stay in its caches; a GPU writes a whole
product first, takes its absolute value in place, and adds it."""
BACKWARD, PRODUCTS = 2, 2
"""Calls beside the forward pass's own: of a layer's backward pass with its sums, and of the products for its weights."""


@dataclass(frozen=True)
class Work:
    """What is done.

    Attributes:
        tokens: that pass the model, padding not counted; a backward pass does not count them again.
        passes: forward passes of a batch, generation's one-token steps among them.
        flops: additions and multiplications.
        bytes: read from memory and written there.
        calls: of layers, from Python, in units of a forward pass through one layer of a bridge.
        full: those of `flops` that are in float32, whatever the weights' type.
        rows: of text in these passes; of generation, each row again at each step.
        host: bytes that are copied from a GPU into the host's memory.
    """

    tokens: float = 0
    passes: float = 0
    flops: float = 0
    bytes: float = 0
    calls: float = 0
    full: float = 0
    rows: float = 0
    host: float = 0

    def __add__(self, other: "Work") -> "Work":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Work(*(own + its for own, its in pairs))

    def __mul__(self, times: float) -> "Work":
        return Work(*(times * own for own in vars(self).values()))

    __rmul__ = __mul__


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of text that are read in batches: `n` of them, of `length` tokens, of which `asked` are unembedded."""

    n: float
    length: float
    asked: float = 1
    batch: int = 8

    @property
    def passes(self) -> float:
        return self.n / self.batch if self.n > self.batch else float(self.n > 0)


def forward(shape: Shape, rows: Rows, *, element: int) -> Work:
    """Reading rows without gradients; `element`: bytes of a weight.

    >>> one = Shape(n_layers=1, d_model=2, n_heads=1, n_kv_heads=1, d_head=2, d_mlp=4, vocabulary=8,
    ...             parameters=64, matrices=40, largest=8)
    >>> forward(one, Rows(n=3, length=5, asked=1, batch=3), element=4).flops == 2 * 40 * 15 + 4 * 2 * 5 * 15 + 2 * 8 * 2 * 3
    True
    """
    tokens = rows.n * rows.length
    flops = 2 * shape.matrices * tokens + _attention(shape, tokens, rows.length) + _unembedding(shape, rows.n * rows.asked)
    moved = rows.passes * shape.parameters * element + _moved(shape, tokens, rows.length, element)
    moved += rows.n * rows.asked * shape.vocabulary * 3 * FULL
    return Work(tokens, rows.passes, flops, moved, calls=rows.passes * shape.n_layers, rows=rows.n)


def attribution(shape: Shape, rows: Rows, *, element: int) -> Work:
    """Scores of heads and neurons: a forward pass, and a backward pass down to the first layer's heads."""
    return forward(shape, rows, element=element) + _backward(shape, rows, element, below_heads=False)


def weight_attribution(shape: Shape, rows: Rows, *, element: int, absolute: bool, gpu: bool = False) -> Work:
    """Scores of weights over one set of examples: with `absolute`, of each example by itself. They end on the host."""
    times = rows.n if absolute else rows.passes
    each = SUMMED["gpu" if gpu and absolute else "cpu"]
    flops, moved = 2 * shape.matrices * rows.n * rows.length, times * each * shape.matrices
    copied = FULL * shape.matrices if gpu else 0
    products = Work(flops=flops, bytes=moved, calls=PRODUCTS * rows.passes * shape.n_layers, full=flops, host=copied)
    return forward(shape, rows, element=element) + _backward(shape, rows, element, below_heads=True) + products


def training(shape: Shape, rows: Rows, *, element: int) -> Work:
    """Fine-tuning: forward, and backward to every layer. What is asked is unembedded once more in the backward pass; trl asks
    for every token where it has no Triton. Adapters are not counted: at rank 32 some tenth of a small model's work.
    """
    again = Work(flops=_unembedding(shape, rows.n * rows.asked), bytes=rows.n * rows.asked * shape.vocabulary * 3 * FULL)
    return forward(shape, rows, element=element) + _backward(shape, rows, element, below_heads=True) + again


def generation(shape: Shape, rows: Rows, new: float, *, element: int) -> Work:
    """Writing `new` tokens after rows of `length`; weights are read once a step, keys and values of all before it too."""
    ahead = forward(shape, rows, element=element)
    tokens, seen = rows.n * new, rows.length + new / 2
    steps = rows.passes * new
    flops = 2 * shape.matrices * tokens + _attention(shape, tokens, seen) + _unembedding(shape, tokens)
    moved = steps * shape.parameters * element + tokens * seen * cache_of_token(shape, element=element)
    return ahead + Work(tokens, steps, flops, moved, calls=steps * shape.n_layers, rows=tokens)


def cache_of_token(shape: Shape, *, element: int) -> int:
    """Bytes of a token's keys and values in all layers."""
    return 2 * shape.n_layers * shape.n_kv_heads * shape.d_head * element


def _attention(shape: Shape, tokens: float, length: float) -> float:
    """q·k and the weighted sum of values, of every token with every token of its row."""
    return 4 * shape.n_layers * shape.n_heads * shape.d_head * length * tokens


def _unembedding(shape: Shape, asked: float) -> float:
    return 2 * shape.vocabulary * shape.d_model * asked


def _moved(shape: Shape, tokens: float, length: float, element: int) -> float:
    each = MOVED_MODEL * shape.d_model + MOVED_MLP * shape.d_mlp + MOVED_SQUARE * shape.n_heads * length
    return shape.n_layers * each * tokens * element


def _backward(shape: Shape, rows: Rows, element: int, *, below_heads: bool) -> Work:
    """Gradients of activations alone; without `below_heads` none of the first layer's queries, keys and values."""
    tokens, layers = rows.n * rows.length, shape.n_layers
    into_heads = 0 if below_heads else shape.d_model * shape.d_head * (shape.n_heads + 2 * shape.n_kv_heads)
    squares = 2 * _attention(shape, tokens, rows.length) * (1 if below_heads else (layers - 1) / layers)
    flops = 2 * (shape.matrices - into_heads) * tokens + squares + _unembedding(shape, rows.n * rows.asked)
    moved = rows.passes * shape.parameters * element + 2 * _moved(shape, tokens, rows.length, element)
    moved += rows.n * rows.asked * shape.vocabulary * 2 * FULL
    return Work(flops=flops, bytes=moved, calls=BACKWARD * rows.passes * layers)
