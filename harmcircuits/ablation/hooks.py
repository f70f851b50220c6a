"""Ablation: circuits by hooks, which change nothing of the model; masks of weights in place, with an exact undo."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..components import Circuit, WeightMask
from ..models.protocol import HookedModel
from .weights import zeroed


@contextmanager
def ablated(model: HookedModel, circuit: Circuit | WeightMask | None, *, method: str = "zero") -> Iterator[HookedModel]:
    """Inside, every component of `circuit` is off; outside, the model is as it was, also after an exception.

    Contexts nest (the union is off), your own hooks stay and see the ablated activations if they were added later. With a
    `Circuit` no parameter is touched. With a `WeightMask` the weights themselves are 0 inside, and afterwards have every bit
    that they had. `None` ablates nothing, so that conditions can be looped over.

    Args:
        circuit: heads and neurons (`Circuit`), or single weights (`WeightMask`).
        method: "zero" sets a component's activation to 0 at every position, a weight to 0.

    Raises:
        CircuitError: a component that the model does not have.
        MaskError: a matrix that the model does not have, or of another shape.
        ModelError: a layer without `hook_z` or `hook_post`.
        ValueError: another method than those named.
    """
    if method != "zero":
        raise ValueError(f"method {method!r} is not available; method='zero' is")
    if circuit is None:
        yield model
        return
    if isinstance(circuit, WeightMask):
        with zeroed(model, circuit):
            yield model
        return
    with model.hooks(fwd_hooks=list(circuit.hooks(model))):
        yield model
