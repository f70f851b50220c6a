"""Peak memory of each kind of step, in bytes, for the shape of a model.

loading              P·e                                     the weights themselves, P of them, e bytes each
attribution          P·e + B·s·(L·(k_d·d_model + k_h·h·d_head + k_m·d_mlp + k_s·h·s))·e + B·asked·V·k_v·4
                     what the backward pass needs of a batch of B rows of s tokens: no weight has a gradient, so that a linear
                     layer keeps nothing; and the gradients of hook_z and hook_post, all at once
weight attribution   the same + 4·N·(accumulators) + 4·(the largest matrix)
generation           P·e + B·(s + new)·(keys and values of a token) + B·V·2·4
"""

from dataclasses import dataclass

from ..attribution.weights import FULL, SHARE
from ..models.shape import Shape
from .work import Rows, cache_of_token

KEPT_MODEL, KEPT_HEADS, KEPT_MLP, KEPT_SQUARE, KEPT_LOGITS = 8, 5, 5, 2, 3
"""Numbers that a layer keeps of a token until the backward pass: norms' inputs and results; queries, keys and values a head,
hook_z and its gradient; gate, activation, product, hook_post and its gradient; the pattern before and after its mask. Of a
token that is asked: logits, their logarithms, their gradient."""
SETS = {"cpu": 2, "gpu": 1}
"""Accumulators of all weights beside the model: on a CPU the scores A stay while U is summed; from a GPU they have gone."""


@dataclass(frozen=True)
class Peak:
    """One step.

    Attributes:
        step: what it is.
        bytes: at its peak, the weights among them.
        cure: what to do where that is too much; "" where it is not, or nobody knows.
        passes_over_data: of weight scores, in blocks of layers.
        host: bytes beside that, where the device is a GPU: the scores of all weights, A and U.
    """

    step: str
    bytes: float
    cure: str = ""
    passes_over_data: int = 1
    host: float = 0


def loading(shape: Shape, *, element: int) -> Peak:
    """Reading the weights; TransformerLens works on transformers' own."""
    return Peak("loading", shape.parameters * element)


def activations(shape: Shape, rows: Rows, *, element: int) -> Peak:
    """Scores of heads and neurons."""
    held = shape.parameters * element + _graph(shape, rows, element)
    return Peak("scores of heads and neurons", held)


def weights(
    shape: Shape, rows: Rows, *, element: int, gpu: bool, memory: float | None = None, at_once: int | None = None
) -> Peak:
    """Scores of weights; on a GPU of so much `memory` in as many blocks of layers as it takes, or of `at_once` layers."""
    model = shape.parameters * element
    sums = SETS["gpu" if gpu else "cpu"] * FULL * shape.matrices
    layers = at_once or shape.n_layers
    if gpu and at_once is None and memory is not None and memory > model:
        fit = int(SHARE * (memory - model) // (FULL * shape.matrices / shape.n_layers))
        layers = fit if 0 < fit < shape.n_layers else shape.n_layers
    held = model + sums * layers / shape.n_layers + FULL * shape.largest + _graph(shape, rows, element)
    host = SETS["cpu"] * FULL * shape.matrices if gpu else 0
    return Peak("scores of weights", held, passes_over_data=-(-shape.n_layers // layers), host=host)


def writing(shape: Shape, rows: Rows, new: float, *, element: int) -> Peak:
    """Generation with keys and values kept."""
    cache = rows.batch * (rows.length + new) * cache_of_token(shape, element=element)
    logits = rows.batch * shape.vocabulary * 2 * FULL
    return Peak("writing", shape.parameters * element + cache + logits)


def _graph(shape: Shape, rows: Rows, element: int) -> float:
    heads = shape.n_heads * shape.d_head
    each = KEPT_MODEL * shape.d_model + KEPT_HEADS * heads + KEPT_MLP * shape.d_mlp + KEPT_SQUARE * shape.n_heads * rows.length
    batch = min(rows.batch, rows.n)
    asked = batch * rows.asked * shape.vocabulary * KEPT_LOGITS * FULL
    return batch * rows.length * shape.n_layers * each * element + asked
