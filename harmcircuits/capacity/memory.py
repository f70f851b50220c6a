"""Peak memory of each kind of step, in bytes, for the shape of a model.

loading              P·e                                     the weights themselves, P of them, e bytes each
attribution          P·e + B·s·(L·kept + at work) + B·asked·V·3·4
                     what the backward pass needs of a batch of B rows of s tokens: no weight has a gradient, so that a linear
                     layer keeps nothing; and what the one layer holds that is computed. Norms and softmax are float32.
weight attribution   the same + 4·N·(accumulators) + 4·(the largest matrix)
generation           P·e + B·(s + new)·(keys and values of a token) + B·V·2·4, or B·s·(reading) as prompts are
"""

from dataclasses import dataclass

from ..attribution.weights import FULL, SHARE
from ..models.shape import Shape
from .work import Rows, cache_of_token


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How many numbers of a token a layer holds.

    Attributes:
        model: of d_model's size.
        each: of all heads' and all neurons'.
        norms: of d_model's size, float32 whatever the weights' type.
        square: of all heads' patterns, float32 likewise.
        cast: of all heads' patterns, where the weights' type is not float32.
        mask: of one pattern, float32.
    """

    model: int = 0
    each: int = 0
    norms: int = 0
    square: int = 0
    cast: int = 0
    mask: int = 0

    def bytes(self, shape: Shape, length: float, element: int) -> float:
        """Of a token, in a row of `length`."""
        pattern = shape.n_heads * length
        full = self.norms * shape.d_model + self.square * pattern + self.mask * length
        own = self.model * shape.d_model + self.each * (shape.n_heads * shape.d_head + shape.d_mlp)
        return FULL * full + element * (own + (self.cast * pattern if element < FULL else 0))


GRAPH = Kept(norms=2, each=4, square=1, cast=1)
"""Until the backward pass: what norms read; queries, keys, values and hook_z; gate, activation, their factor and hook_post; the
pattern. As it goes from layer to layer, gradients of hook_z and hook_post take the place of what it has used."""
GRAPH_WEIGHTS = Kept(norms=2, model=2, each=4, square=1, cast=1)
"""And what norms give, which matrices read."""
CHECKPOINTED = Kept(each=2)
"""Where blocks are checkpointed: hook_z and hook_post, in the end with their gradients, which take more than blocks' inputs."""
CHECKPOINTED_WEIGHTS = Kept(model=3, each=1)
"""A block's input, what its norms give, hook_z and hook_post."""
AT_WORK = Kept(norms=2, each=5, square=3)
"""The layer that is computed: all of these, and attention's scores, masked scores and pattern at once."""
READING = Kept(norms=1, each=2, square=2, cast=1, mask=1)
"""The layer that reads a prompt, where nothing is kept for a backward pass."""
LOGITS = 3
"""Of a token that is asked, each of them float32: logits, their logarithms, their gradient."""
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


def activations(shape: Shape, rows: Rows, *, element: int, checkpoint: bool = False) -> Peak:
    """Scores of heads and neurons."""
    held = shape.parameters * element + _graph(shape, rows, element, CHECKPOINTED if checkpoint else GRAPH)
    return Peak("scores of heads and neurons", held)


def weights(
    shape: Shape,
    rows: Rows,
    *,
    element: int,
    gpu: bool,
    memory: float | None = None,
    at_once: int | None = None,
    checkpoint: bool = False,
) -> Peak:
    """Scores of weights; on a GPU of so much `memory` in as many blocks of layers as it takes, or of `at_once` layers."""
    model = shape.parameters * element
    sums = SETS["gpu" if gpu else "cpu"] * FULL * shape.matrices
    layers = at_once or shape.n_layers
    if gpu and at_once is None and memory is not None and memory > model:
        fit = int(SHARE * (memory - model) // (FULL * shape.matrices / shape.n_layers))
        layers = fit if 0 < fit < shape.n_layers else shape.n_layers
    graph = _graph(shape, rows, element, CHECKPOINTED_WEIGHTS if checkpoint else GRAPH_WEIGHTS)
    held = model + sums * layers / shape.n_layers + FULL * shape.largest + graph
    host = SETS["cpu"] * FULL * shape.matrices if gpu else 0
    return Peak("scores of weights", held, passes_over_data=-(-shape.n_layers // layers), host=host)


def writing(shape: Shape, rows: Rows, new: float, *, element: int) -> Peak:
    """Generation with keys and values kept."""
    cache = rows.batch * (rows.length + new) * cache_of_token(shape, element=element)
    logits = rows.batch * shape.vocabulary * 2 * FULL
    work = rows.batch * rows.length * READING.bytes(shape, rows.length, element)
    return Peak("writing", shape.parameters * element + cache + max(logits, work))


def _graph(shape: Shape, rows: Rows, element: int, kept: Kept) -> float:
    batch = min(rows.batch, rows.n)
    asked = batch * rows.asked * shape.vocabulary * LOGITS * FULL
    layers = shape.n_layers * kept.bytes(shape, rows.length, element) + AT_WORK.bytes(shape, rows.length, element)
    return batch * rows.length * layers + asked
