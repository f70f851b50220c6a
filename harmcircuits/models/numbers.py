"""Readings that are not numbers (NaN, infinities): named by example and place, never averaged away."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from .protocol import HookedModel, ModelError, forward

CURE = (
    "In half precision activations overflow: load the model with dtype=torch.float32 (--dtype float32). If it is in float32 "
    "already, its weights are damaged, or a hook of yours divides by zero."
)
_POINTS = ("hook_embed", "hook_resid_pre", "attn.hook_z", "hook_attn_out", "mlp.hook_post", "hook_mlp_out", "hook_resid_post")


def check_finite(
    model: HookedModel,
    values: Float[Tensor, " b"],
    *,
    what: str,
    examples: Sequence[int],
    rows: Sequence[Sequence[int]],
    within: AbstractContextManager[object] | None = None,
) -> None:
    """Makes sure that what was read of a batch are numbers.

    Args:
        what: was read.
        examples: the place of each row of the batch among all examples, for the message.
        rows: token ids of each.
        within: what is in force while the model reads; None: as it stands.

    Raises:
        ModelError: naming the example, and the first place in the model where its activations are no numbers.
    """
    wrong = ~values.isfinite()
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0])
        with within or nullcontext():
            where = where_broken(model, rows[at])
        raise ModelError(f"{what} of example {examples[at]} is not a number: {where}. {CURE}")


@torch.no_grad()
def where_broken(model: HookedModel, tokens: Sequence[int]) -> str:
    """Where in the model, as it stands, the activations of a text stop being numbers: the hook point, in words."""
    found: list[str] = []

    def look(name: str, activation: Tensor, hook: object) -> Tensor:
        if not found and not bool(activation.isfinite().all()):
            found.append(name)
        return activation

    points = [name for name in model.hook_dict if name.endswith(_POINTS)]
    row = torch.tensor([list(tokens)])
    with model.hooks(fwd_hooks=[(name, partial(look, name)) for name in points]):
        forward(model, row, torch.ones_like(row))
    return f"activations overflow, first at {found[0]}" if found else "its activations are, when it is read alone"
