"""Heads and neurons in a random order: what any circuit of that size does."""

from collections.abc import Sequence

import torch

from ...attribution.scores import Attribution
from ...data import Example
from ...models.protocol import HookedModel, geometry
from .scoring import as_attribution


def random(model: HookedModel, harmful: Sequence[Example], benign: Sequence[Example]) -> Attribution:
    """Return scores drawn from (0, 1], the same ones each time."""
    shape, generator = geometry(model), torch.Generator().manual_seed(0)
    draw = lambda size: 1 - torch.rand(shape.n_layers, size, generator=generator)
    return as_attribution(model, heads=draw(shape.n_heads), neurons=draw(shape.d_mlp))
