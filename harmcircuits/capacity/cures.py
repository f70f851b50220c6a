"""What to do where a step needs more memory than there is: only what fits by the same formulas is named."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ..attribution.weights import FULL
from ..models.shape import Shape
from .limit import Limit
from .memory import Peak, activations, loading, weights, writing
from .work import Rows

HALF = 2
"""Bytes of a weight in bfloat16."""
CHECKPOINT = "checkpoint=True"
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
    """The largest smaller batch that fits; where not even one row does, that row with its blocks checkpointed."""
    of: Callable[[Rows, int], Peak] = lambda rows, element: activations(shape, rows, element=element)
    if found := _cure(of, rows, limit, "hc.attribute", element):
        return found
    alone = activations(shape, replace(rows, batch=1), element=element, checkpoint=True)
    return f"batch_size=1 and {CHECKPOINT} in hc.attribute" if limit.holds(alone) else "shorter texts"


def writing_cure(shape: Shape, rows: Rows, new: float, limit: Limit, *, element: int) -> str:
    """Likewise."""
    of: Callable[[Rows, int], Peak] = lambda rows, element: writing(shape, rows, new, element=element)
    return _cure(of, rows, limit, "hc.elicit", element) or "fewer tokens"


def weights_cure(shape: Shape, rows: Rows, limit: Limit, *, element: int) -> str:
    """On a GPU smaller blocks of layers, then smaller batches, then a row with its blocks checkpointed; on a CPU all scores
    stay, and blocks save nothing."""
    found = []
    ways = [(batch, False) for batch in (rows.batch, *_smaller(rows.batch))]
    for batch, checkpoint in (*ways, (1, True)):
        smaller = "" if batch == rows.batch else f"batch_size={batch}"
        if blocks := _blocks(shape, replace(rows, batch=batch), limit, element, checkpoint=checkpoint):
            given = filter(None, [smaller, CHECKPOINT if checkpoint else "", blocks[0]])
            found.append(" and ".join(given) + f" in hc.attribute_weights{blocks[1]}")
            break
    halved = weights(shape, rows, element=HALF, gpu=limit.gpu, memory=limit.memory)
    if element > HALF and limit.holds(halved):
        found.append("dtype bfloat16 (--dtype bfloat16)")
    return "; or ".join(found) or "leave weights out (circuits of heads and neurons alone)"


def _blocks(shape: Shape, rows: Rows, limit: Limit, element: int, *, checkpoint: bool) -> tuple[str, str] | None:
    """What is to be given beside the batch, and what it costs; None where no number of layers at once fits."""
    how: dict[str, Any] = {"element": element, "gpu": limit.gpu, "checkpoint": checkpoint}
    by_itself = weights(shape, rows, memory=limit.memory, **how)
    if limit.holds(by_itself):
        passes = by_itself.passes_over_data
        return "", f" ({passes} passes over the data)" if passes > 1 else ""
    for layers in range(shape.n_layers, 0, -1) if limit.gpu else ():
        peak = weights(shape, rows, at_once=layers, **how)
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
