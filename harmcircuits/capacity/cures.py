"""What to do where a step needs more memory than there is: only what fits by the same formulas is named."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
    halved = loading(shape, element=min(element, HALF))
    if element > HALF and limit.holds(halved):
        return f"dtype bfloat16 (--dtype bfloat16): {halved.bytes / 1e9:,.1f} GB"
    place = _cards(halved, limit) if limit.gpu else "a machine with more memory, or GPUs"
    return f"{place}{_halved(element)} (transformers' device_map, then hf_model= and tokenizer=); or a smaller model"


def several_cure(peak: Peak, limit: Limit, *, element: int) -> str:
    """So many GPUs that together they have what a step needs, where the model itself does not fit into one."""
    return _cards(peak, limit) + _halved(element) if limit.gpu else SEE_LOADING


def _cards(peak: Peak, limit: Limit) -> str:
    return f"{-(-peak.bytes // max(limit.usable, 1)):,.0f} or more such GPUs"


def _halved(element: int) -> str:
    return ", in bfloat16" if element > HALF else ""


def activations_cure(shape: Shape, rows: Rows, limit: Limit, *, element: int) -> str:
    """The largest smaller batch that fits; where not even one row does, that row with its blocks checkpointed."""

    def fitting(rows: Rows, checkpoint: bool, element: int) -> Found | None:
        return Found() if limit.holds(activations(shape, rows, element=element, checkpoint=checkpoint)) else None

    return _cure(fitting, rows, "hc.attribute", element) or "shorter texts"


def writing_cure(shape: Shape, rows: Rows, new: float, limit: Limit, *, element: int) -> str:
    """The largest smaller batch that fits."""

    def fitting(rows: Rows, checkpoint: bool, element: int) -> Found | None:
        return Found() if not checkpoint and limit.holds(writing(shape, rows, new, element=element)) else None

    return _cure(fitting, rows, "hc.elicit", element) or "shorter texts"


def weights_cure(shape: Shape, rows: Rows, limit: Limit, *, element: int) -> str:
    """On a GPU blocks of layers, and the largest smaller batch with which these are fewest, or a row with its blocks
    checkpointed; on a CPU all scores stay, and blocks save nothing."""

    def fitting(rows: Rows, checkpoint: bool, element: int) -> Found | None:
        how: dict[str, Any] = {"element": element, "gpu": limit.gpu, "checkpoint": checkpoint}
        by_itself = weights(shape, rows, memory=limit.memory, **how)
        found = [Found(passes=by_itself.passes_over_data)] if limit.holds(by_itself) else []
        for layers in range(shape.n_layers, 0, -1) if limit.gpu else ():
            peak = weights(shape, rows, at_once=layers, **how)
            if limit.holds(peak):
                room = -(-FULL * shape.matrices * layers // shape.n_layers)
                found.append(Found(f"max_memory={room}", passes=peak.passes_over_data))
                break
        return min(found, key=lambda one: one.passes, default=None)

    return _cure(fitting, rows, "hc.attribute_weights", element) or "leave weights out (circuits of heads and neurons alone)"


@dataclass(frozen=True)
class Found:
    """Something that fits: what is to be given beside the batch, and how often the data are passed then."""

    given: str = ""
    passes: int = 1


Fitting = Callable[[Rows, bool, int], Found | None]
"""Of rows in a batch, with blocks checkpointed or not, and weights of so many bytes; None where they do not fit."""


def _cure(fitting: Fitting, rows: Rows, where: str, element: int) -> str:
    """In the weights' type, and in half precision where that is enough by itself, or the only one that is."""
    own = _way(fitting, rows, where, element)
    halved = None if element <= HALF else _way(fitting, rows, where, HALF)
    found = [] if own is None else [own]
    if halved is not None and (own is None or not halved):
        found.append(" and ".join(filter(None, ["dtype bfloat16 (--dtype bfloat16)", halved])))
    return "; or ".join(found)


def _way(fitting: Fitting, rows: Rows, where: str, element: int) -> str | None:
    """With the fewest passes over the data the largest batch, without checkpointing where it can be; "" where nothing is to be
    given, None where nothing helps."""
    ways = [(batch, False) for batch in (rows.batch, *_smaller(rows.batch))] + [(1, True)]
    tried = [(batch, on, fitting(replace(rows, batch=batch), on, element)) for batch, on in ways]
    fits = [(batch, on, found) for batch, on, found in tried if found is not None]
    if not fits:
        return None
    batch, checkpoint, found = min(fits, key=lambda way: way[2].passes)  # the first of them
    given = ["" if batch == rows.batch else f"batch_size={batch}", CHECKPOINT if checkpoint else "", found.given]
    named = " and ".join(filter(None, given))
    passes = f" ({found.passes} passes over the data)" if found.passes > 1 else ""
    return f"{named} in {where}{passes}" if named else ""


def _smaller(batch: int) -> Iterator[int]:
    while batch > 1:
        batch //= 2
        yield batch
