"""A linear probe of harm in the residual stream at the request's last token, before anything is answered.

Ridge regression of the label (±1) on the standardised residual stream,

    w = Xᵀ (X Xᵀ + λ I)⁻¹ y,    λ = 1,000,

trained on the baseline with training requests, and read as it is under every ablation. Components after its layer cannot change
the score, so that it is read after the last layer too.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Prompt, Row, batched, chat_frame, encode, make_batch, map_batches
from ..models.forward import logits_sharing_prefix
from ..models.protocol import Hook, HookedModel
from .reading import Reading

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
    found = []
    for layer in layers:
        mean, scale = residual[layer].mean(0), residual[layer].std(0) + 1e-6
        x = (residual[layer] - mean) / scale
        found.append(Direction(layer, mean, scale, x.T @ torch.linalg.solve(x @ x.T + RIDGE * torch.eye(len(x)), labels)))
    return found


@torch.no_grad()
def request_residuals(
    model: HookedModel, prompts: Sequence[Prompt], layers: Sequence[int], *, batch_size: int = 16
) -> Float[Tensor, "layer prompt d_model"]:
    """Return the residual stream after each of `layers` at the request's last token, float32, on the CPU."""
    frame = chat_frame(model)
    rows = [_row((*frame.before, *encode(model, prompt.request))) for prompt in prompts]
    found = torch.empty(len(layers), len(rows), int(model.cfg.d_model))

    def read(indices: list[int]) -> Tensor:
        batch = make_batch(model, [rows[index] for index in indices])
        ends = [len(rows[index]) - 2 for index in indices]
        with residuals_kept(model, list(layers)) as kept:
            logits_sharing_prefix(model, batch.tokens, batch.attention_mask, batch.positions)
        return torch.stack([at_columns(kept[layer], ends, length=batch.tokens.shape[1]).cpu() for layer in layers])

    for indices, residuals in map_batches(batched(rows, batch_size=batch_size), read):
        found[:, indices] = residuals
    return found


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


def _row(tokens: tuple[int, ...]) -> Row:
    """One more token, which nobody reads: a row asks the likelihood of its last one."""
    return Row((*tokens, tokens[-1]), len(tokens), len(tokens) + 1)
