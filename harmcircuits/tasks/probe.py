"""A linear probe for harm in the residual stream, trained on the intact model's twins and read under an ablation.

Harmfulness is read at the last token of the request (Zhao et al. 2025), after each layer. Trained on triples from one place,
the probe cannot live off the style of the sources, which is what probes of harmful against ordinary prompts mostly read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..examples import Batch, Example, Prompt, Row, batched, chat_frame, encode, make_batch, row_length
from ..models.protocol import Hook, HookedModel, geometry, logits_at

RIDGE = 1000.0


@dataclass(frozen=True, eq=False)
class Probe:
    """score = (x − mean) / scale · direction, x the residual stream after `layer` at the last request token.

    Positive: harmful.
    """

    layer: int
    mean: Float[Tensor, " d_model"]
    scale: Float[Tensor, " d_model"]
    direction: Float[Tensor, " d_model"]

    def score(self, residual: Float[Tensor, "prompt d_model"]) -> Float[Tensor, " prompt"]:
        mean, scale, direction = (part.to(residual.device) for part in (self.mean, self.scale, self.direction))
        return (residual - mean) / scale @ direction


def fit_probe(residual: Float[Tensor, "prompt d_model"], harmful: Sequence[bool], *, layer: int) -> Probe:
    """Ridge regression of the label (±1) on the standardised residual stream: w = Xᵀ (X Xᵀ + λ I)⁻¹ y, λ = 1,000."""
    mean, scale = residual.mean(0), residual.std(0) + 1e-6
    x = (residual - mean) / scale
    y = torch.where(torch.tensor(list(harmful)), 1.0, -1.0)
    weights = torch.linalg.solve(x @ x.T + RIDGE * torch.eye(len(x)), y)
    return Probe(layer, mean, scale, x.T @ weights)


@torch.no_grad()
def last_request_residual(
    model: HookedModel, prompts: Sequence[Prompt | Example], layers: Sequence[int] | None = None, *, batch_size: int = 16
) -> Float[Tensor, "prompt layer d_model"]:
    """The residual stream after each of `layers` (all by default) at the last token of the request, in the chat frame."""
    rows = request_rows(model, prompts)
    wanted = list(range(geometry(model).n_layers)) if layers is None else list(layers)
    found: dict[int, Tensor] = {}
    for indices in batched(rows, batch_size=batch_size, length=row_length):
        batch = make_batch(model, [rows[index] for index in indices])
        kept = read_residual(model, batch, wanted)
        found.update(zip(indices, torch.stack([kept[layer] for layer in wanted], 1).cpu(), strict=True))
    return torch.stack([found[index] for index in range(len(rows))])


def request_rows(model: HookedModel, prompts: Sequence[Prompt | Example]) -> list[Row]:
    """`before · request` and one token more, so that the request's last token is where the next one is predicted."""
    frame = chat_frame(model)
    asked = [[*frame.before, *encode(model, prompt.request)] for prompt in prompts]
    return [Row((*ids, frame.between[0] if frame.between else ids[-1]), len(ids), len(ids) + 1) for ids in asked]


def read_residual(
    model: HookedModel, batch: Batch, layers: Sequence[int], *, detach: bool = True
) -> dict[int, Float[Tensor, "row d_model"]]:
    """`hook_resid_post` of `layers` at the batch's asked positions, float32; with its graph unless `detach`."""
    kept: dict[int, Tensor] = {}

    def keep(layer: int, activation: Float[Tensor, "b pos d_model"], hook: object) -> Tensor:
        row = activation.flatten(0, 1)[batch.positions.to(activation.device)].float()
        kept[layer] = row.detach() if detach else row
        return activation

    hooks: list[Hook] = [(f"blocks.{layer}.hook_resid_post", partial(keep, layer)) for layer in layers]
    with model.hooks(fwd_hooks=hooks):
        logits_at(model, batch.tokens, batch.attention_mask, batch.positions)
    return kept
