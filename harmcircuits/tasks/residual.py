"""The residual stream at chosen places of a row, kept while a forward pass runs anyway."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..models.protocol import Hook, HookedModel


@contextmanager
def residuals_kept(model: HookedModel, layers: Sequence[int]) -> Iterator[dict[int, Float[Tensor, "b pos d_model"]]]:
    """After each forward pass inside, by layer: `hook_resid_post` as that pass made it, with its graph if it has one."""
    kept: dict[int, Tensor] = {}

    def keep(layer: int, activation: Float[Tensor, "b pos d_model"], hook: object) -> Tensor:
        kept[layer] = activation
        return activation

    hooks: list[Hook] = [(f"blocks.{layer}.hook_resid_post", partial(keep, layer)) for layer in sorted(set(layers))]
    with model.hooks(fwd_hooks=hooks):
        yield kept


def at_columns(residual: Float[Tensor, "b pos d_model"], columns: Sequence[int], *, length: int) -> Float[Tensor, "b d_model"]:
    """One position of each row, float32. `columns` count in rows of `length` tokens; where the pass began later, since what
    all rows share was read before, they are found from the end."""
    at = torch.tensor(list(columns), device=residual.device) - length
    return residual[torch.arange(len(residual), device=residual.device), at].float()
