"""What to do where a step needs more memory than there is: only what fits by the same formulas is named."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..attribution.weights import FULL
from ..models.shape import Shape
from .limit import Limit
from .memory import Peak, activations, loading, weights, writing
from .work import Rows

HALF = 2
"""Bytes of a weight in bfloat16."""
SEE_LOADING = "as of loading"


def loading_cure(shape: Shape, limit: Limit, *, element: int) -> str:
    """Half precision where that is enough; else several GPUs, so many that the parameters alone would fit."""
    halved = loading(shape, element=HALF)
    if element > HALF and limit.holds(halved):
        return f"dtype bfloat16 (--dtype bfloat16): {halved.bytes / 1e9:,.1f} GB"
    least = -(-loading(shape, element=min(element, HALF)).bytes // max(limit.usable, 1))
    place = f"{least:,.0f} or more such GPUs" if limit.gpu else "a machine with more memory, or GPUs"
    dtype = ", in bfloat16" if element > HALF else ""
    return f"{place}{dtype} (transformers' device_map, then hf_model= and tokenizer=); or a smaller model"


def activations_cure(shape: Shape, rows: Rows, limit: Limit, *, element: int) -> str:
    """The largest smaller batch that fits."""
    of: Callable[[Rows, int], Peak] = lambda rows, element: activations(shape, rows, element=element)
    return _cure(of, rows, limit, "hc.attribute", element) or "shorter responses"


def writing_cure(shape: Shape, rows: Rows, new: float, limit: Limit, *, element: int) -> str:
    """Likewise."""
    of: Callable[[Rows, int], Peak] = lambda rows, element: writing(shape, rows, new, element=element)
    return _cure(of, rows, limit, "hc.elicit", element) or "fewer tokens"


def weights_cure(shape: Shape, rows: Rows, limit: Limit, *, element: int) -> str:
    """On a GPU smaller blocks of layers, then smaller batches; on a CPU all scores stay, and blocks save nothing."""
    found = []
    for batch in (rows.batch, *_smaller(rows.batch)):
        smaller = "" if batch == rows.batch else f"batch_size={batch}"
        if blocks := _blocks(shape, replace(rows, batch=batch), limit, element):
            found.append(" and ".join(filter(None, [smaller, blocks[0]])) + f" in hc.attribute_weights{blocks[1]}")
            break
    halved = weights(shape, rows, element=HALF, gpu=limit.gpu, memory=limit.memory)
    if element > HALF and limit.holds(halved):
        found.append("dtype bfloat16 (--dtype bfloat16)")
    return "; or ".join(found) or "leave weights out (circuits of heads and neurons alone)"


def _blocks(shape: Shape, rows: Rows, limit: Limit, element: int) -> tuple[str, str] | None:
    """What is to be given beside the batch, and what it costs; None where no number of layers at once fits."""
    by_itself = weights(shape, rows, element=element, gpu=limit.gpu, memory=limit.memory)
    if limit.holds(by_itself):
        passes = by_itself.passes_over_data
        return "", f" ({passes} passes over the data)" if passes > 1 else ""
    for layers in range(shape.n_layers, 0, -1) if limit.gpu else ():
        peak = weights(shape, rows, element=element, gpu=True, at_once=layers)
        if limit.holds(peak):
            room = -(-FULL * shape.matrices * layers // shape.n_layers)
            return f"max_memory={room}", f" ({peak.passes_over_data} passes over the data)"
    return None


def _cure(of: Callable[[Rows, int], Peak], rows: Rows, limit: Limit, where: str, element: int) -> str:
    fits = (batch for batch in _smaller(rows.batch) if limit.holds(of(replace(rows, batch=batch), element)))
    batch = next(fits, None)
    found = [] if batch is None else [f"batch_size={batch} in {where}"]
    if element > HALF and limit.holds(of(rows, HALF)):
        found.append("dtype bfloat16 (--dtype bfloat16)")
    return "; or ".join(found)


def _smaller(batch: int) -> Iterator[int]:
    while batch > 1:
        batch //= 2
        yield batch
