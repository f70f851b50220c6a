"""A linear probe of harm in the residual stream at the request's last token, before anything is answered.

Ridge regression of the label (±1) on the standardised residual stream,

    w = Xᵀ (X Xᵀ + λ I)⁻¹ y,    λ = 1,000,

trained on the baseline with training requests, and read as it is under every ablation. Components after its layer cannot change
the score, so that it is read after the last layer too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Prompt, batched, chat_frame, encode, make_batch, map_batches
from ..models.forward import logits_sharing_prefix, recorded
from ..models.protocol import HookedModel
from .reading import Reading
from .recognition import label_row

RIDGE = 1000.0


@dataclass(frozen=True, eq=False)
class Direction:
    """score = (x − mean) / scale · weights, x the residual stream after `layer`. Positive: harmful."""

    layer: int
    mean: Float[Tensor, " d_model"]
    scale: Float[Tensor, " d_model"]
    weights: Float[Tensor, " d_model"]

    def score(self, residual: Float[Tensor, "prompt d_model"]) -> Float[Tensor, " prompt"]:
        return (residual - self.mean) / self.scale @ self.weights

    @property
    def key(self) -> str:
        """A digest of its numbers."""
        parts = (self.mean, self.scale, self.weights)
        return sha256(repr(self.layer).encode() + b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


@dataclass(frozen=True)
class Probe(Reading):
    """Columns `probe` (at the layer chosen on development prompts) and `probe_last` (after the last layer)."""

    name = "probe"
    prompts: tuple[Prompt, ...]
    chosen: Direction
    last: Direction

    def values(self, model: HookedModel) -> dict[str, Any]:
        residual = request_residuals(model, self.prompts, [self.chosen.layer, self.last.layer])
        return {"probe": self.chosen.score(residual[0]), "probe_last": self.last.score(residual[-1])}


def fit_directions(model: HookedModel, prompts: Sequence[Prompt]) -> list[Direction]:
    """Return one direction a layer, trained on prompts of role "harmful" against all others, as many of each."""
    layers = range(int(model.cfg.n_layers))
    residual = request_residuals(model, prompts, layers)
    labels = torch.tensor([1.0 if prompt.role == "harmful" else -1.0 for prompt in prompts])
    directions = []
    for layer in layers:
        mean, scale = residual[layer].mean(0), residual[layer].std(0) + 1e-6
        x = (residual[layer] - mean) / scale
        weights = x.T @ torch.linalg.solve(x @ x.T + RIDGE * torch.eye(len(x)), labels)
        directions.append(Direction(layer, mean, scale, weights))
    return directions


@torch.no_grad()
def request_residuals(
    model: HookedModel, prompts: Sequence[Prompt], layers: Sequence[int], *, batch_size: int = 16
) -> Float[Tensor, "layer prompt d_model"]:
    """Return the residual stream after each of `layers` at the request's last token, float32, on the CPU."""
    before, points = chat_frame(model).before, [f"blocks.{layer}.hook_resid_post" for layer in layers]
    tokens = [[*before, *encode(model, prompt.request)] for prompt in prompts]
    rows = [label_row(row, row[-1]) for row in tokens]  # a row is read before its target: any token will do
    residual = torch.empty(len(layers), len(rows), int(model.cfg.d_model))

    def read(indices: list[int]) -> Float[Tensor, "layer b d_model"]:
        batch = make_batch(model, [rows[index] for index in indices])
        length = batch.tokens.shape[1]
        columns = batch.positions % length - length  # from the end: what all rows share may have been read before
        with recorded(model, points) as activations:
            logits_sharing_prefix(model, batch.tokens, batch.attention_mask, batch.positions)
        return torch.stack([activations[name][range(len(indices)), columns].float().cpu() for name in points])

    for indices, part in map_batches(batched(rows, batch_size=batch_size), read):
        residual[:, indices] = part
    return residual
