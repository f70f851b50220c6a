"""What fine-tuning changed, weight by weight, and the fine-tuned model with some of it taken back."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from ...ablation.weights import weights_scaled
from ...components import WeightMask
from ...models.matrices import Matrix, matrices
from ...models.protocol import HookedModel
from .lessons import FinetuneError


@torch.no_grad()
def difference(base: HookedModel, tuned: HookedModel) -> dict[str, Float[Tensor, "out in"]]:
    """W of `tuned` − W of `base`, for every eligible matrix by its name ("blocks.0.attn.q"), oriented [out, in] as in masks.

    Raises:
        FinetuneError: the models do not have the same matrices.
        ModelError: a model's matrices cannot be found.
    """
    return {own.name: own.values() - before.values().to(own.parameter) for own, before in _pairs(base, tuned)}


@contextmanager
def restored(tuned: HookedModel, base: HookedModel, mask: WeightMask, *, everywhere_but: bool = False) -> Iterator[HookedModel]:
    """Inside, the weights of `tuned` in `mask` are those of `base`; outside they have every bit that they had, also after an
    exception.

        with restored(tuned, base, mask): ...                        # is what was learnt gone with the mask?
        with restored(tuned, base, mask, everywhere_but=True): ...   # is it in the mask alone?

    Args:
        everywhere_but: all other weights of the eligible matrices are those of `base`, and the mask's stay as they are. What
            no mask holds (embeddings, norms, biases) stays in both cases.

    Raises:
        FinetuneError: the models do not have the same matrices.
        MaskError: a matrix that the models do not have, or of another shape; nothing is changed then.
        ModelError: a model's matrices cannot be found.
    """
    pairs = _pairs(base, tuned)
    undo: list[tuple[Matrix, Tensor]] = []
    with weights_scaled(tuned, mask - mask):  # scales nothing, and lets others know that these are not the model's own weights
        try:
            for own, before in pairs:
                if everywhere_but or own.name in mask.indices:
                    undo.append((own, own.parameter.detach().clone()))
                    _restore(own, before, mask.indices.get(own.name), everywhere_but=everywhere_but)
            yield tuned
        finally:
            with torch.no_grad():
                for own, old in undo:
                    own.parameter.copy_(old)


@torch.no_grad()
def _restore(own: Matrix, before: Matrix, masked: Tensor | None, *, everywhere_but: bool) -> None:
    """Writes the values of `before` at the indices `masked`, or at all others."""
    flat = torch.empty(0, dtype=torch.long) if masked is None else masked
    if everywhere_but:
        rest = torch.ones(own.parameter.numel(), dtype=torch.bool)
        rest[flat] = False
        flat = rest.nonzero().flatten()
    own.write(flat, before.read(flat))


def _pairs(base: HookedModel, tuned: HookedModel) -> list[tuple[Matrix, Matrix]]:
    """Matrices of the fine-tuned model, each with the one of the base."""
    before = {matrix.name: matrix for matrix in matrices(base)}
    after = matrices(tuned)
    shapes, others = ({matrix.name: matrix.shape for matrix in some} for some in (before.values(), after))
    if shapes != others:
        first = next(name for name in {**shapes, **others} if shapes.get(name) != others.get(name))
        raise FinetuneError(
            f"{first} has the shape {shapes.get(first)} in the base and {others.get(first)} in the fine-tuned model: give the "
            "model that was trained from"
        )
    return [(matrix, before[matrix.name]) for matrix in after]
