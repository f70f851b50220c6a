"""Activation checkpointing: a block keeps its input alone, and is computed once more when the backward pass comes to it.

The numbers stay the same (on a CPU bit for bit). Less memory for one more forward pass: worth it where a single row is too long
for the device; until then a smaller batch is cheaper. Hooks in blocks are called twice.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch.utils.checkpoint import checkpoint

from .protocol import HookedModel, ModelError


class Recomputing:
    """True while a block is computed once more: hooks are called again, and what they keep is not to be kept twice."""

    def __init__(self) -> None:
        self._depth = 0

    def __bool__(self) -> bool:
        return self._depth > 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1


@contextmanager
def checkpointed(model: HookedModel, *, on: bool = True) -> Iterator[Recomputing]:
    """Inside, each block of `model` keeps its input alone for the backward pass; with `on` false, nothing changes.

    Yields:
        What is true while a block is computed once more.

    Raises:
        ModelError: in a forward pass: keys and values of a text before, which a block would add to twice.
    """
    again = Recomputing()
    with ExitStack() as stack:
        for block in cast(Any, model).blocks if on else ():
            stack.enter_context(_computing(block, _twice(block, again)))
        yield again


@contextmanager
def _computing(block: Any, forward: Callable[..., Any]) -> Iterator[None]:
    own = vars(block)  # what is set the usual way, a bridge hands to the module that it wraps
    before = own.get("forward")
    own["forward"] = forward
    try:
        yield
    finally:
        del own["forward"]
        if before is not None:
            own["forward"] = before


def _twice(block: Any, again: Recomputing) -> Callable[..., Any]:
    whole = block.forward

    def forward(*args: Any, **named: Any) -> Any:
        try:
            return whole(*args, **named)
        finally:  # also the second time, when PyTorch breaks off as soon as it has what it needs
            _let_pattern_go(block)

    def checkpointed_forward(*args: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **named)
        given = [_without_cache(value) for value in args]
        options = {name: _without_cache(value) for name, value in named.items()}
        contexts = lambda: (nullcontext(), again.inside())
        return checkpoint(forward, *given, use_reentrant=False, preserve_rng_state=False, context_fn=contexts, **options)

    return checkpointed_forward


def _let_pattern_go(block: Any) -> None:
    """TransformerLens' attention of one fused matrix (GPT-2, Pythia) keeps its last pattern, and with it the block's graph."""
    attention = getattr(block, "attn", None)
    if attention is not None and vars(attention).get("_pattern") is not None:
        vars(attention)["_pattern"] = None


def _without_cache(value: Any) -> Any:
    """None for the empty cache with which every forward pass of transformers begins, and which nobody reads here."""
    length = getattr(value, "get_seq_length", None)
    if hasattr(value, "past_keys") or (length is not None and length()):  # HookedTransformer's; transformers'
        raise ModelError("a text after cached keys and values cannot be checkpointed: read it whole, or leave checkpoint out")
    return value if length is None else None
