"""Ablation by hooks: nothing of the model is changed, so that leaving the context restores it by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..components import Circuit
from ..models.protocol import HookedModel


@contextmanager
def ablated(model: HookedModel, circuit: Circuit | None, *, method: str = "zero") -> Iterator[HookedModel]:
    """Inside, every component of `circuit` is off; outside, the model is as it was, also after an exception.

    Contexts nest (the union is off), your own hooks stay and see the ablated activations if they were added later, and no
    parameter is touched. `None` ablates nothing, so that conditions can be looped over.

    Args:
        method: "zero" sets a component's activation to 0 at every position.

    Raises:
        CircuitError: a component that the model does not have.
        ModelError: a layer without `hook_z` or `hook_post`.
        ValueError: another method than those named.
    """
    if method != "zero":
        raise ValueError(f"method {method!r} is not available; method='zero' is")
    if circuit is None:
        yield model
        return
    with model.hooks(fwd_hooks=list(circuit.hooks(model))):
        yield model
