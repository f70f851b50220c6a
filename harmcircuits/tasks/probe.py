"""A linear probe for harm in the residual stream, trained on the intact model's twins and read under an ablation.

It is read at one of three places of a row (`tasks.asking`): where the question after the response is answered, when request,
prefill and response have all been read; at the last token of the request, where harmfulness is found; or at the last token of
the prompt, before the prefill, where refusal is (both before anything is written; Zhao et al. 2025). Trained on triples from
one place, the probe cannot live off the style of the sources, which is what probes of harmful against ordinary prompts mostly
read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Example, Row, batched, make_batch, map_batches
from ..models.prefix_cache import logits_sharing_prefix
from ..models.protocol import HookedModel, stack_layers
from .asking import question_rows, request_ends
from .formats import Question
from .residual import at_columns, residuals_kept

Place = Literal["answer", "request"]
PLACES: tuple[Place, ...] = ("answer", "request")
IN_WORDS: dict[Place, str] = {"answer": "at the answer", "request": "at the request's last token"}
RIDGE = 1000.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Probe:
    """score = (x − mean) / scale · direction, x the residual stream after `layer` at `place`. Positive: harmful.

    Components in layers after `layer` cannot change the score.
    """

    layer: int
    place: Place
    mean: Float[Tensor, " d_model"]
    scale: Float[Tensor, " d_model"]
    direction: Float[Tensor, " d_model"]

    @property
    def name(self) -> str:
        return f"probe {IN_WORDS[self.place]}, after layer {self.layer}"

    def score(self, residual: Float[Tensor, "prompt d_model"]) -> Float[Tensor, " prompt"]:
        mean, scale, direction = (part.to(residual.device) for part in (self.mean, self.scale, self.direction))
        return (residual - mean) / scale @ direction


def fit_probe(residual: Float[Tensor, "prompt d_model"], harmful: Sequence[bool], *, layer: int, place: Place) -> Probe:
    """Ridge regression of the label (±1) on the standardised residual stream: w = Xᵀ (X Xᵀ + λ I)⁻¹ y, λ = 1,000."""
    mean, scale = residual.mean(0), residual.std(0) + 1e-6
    x = (residual - mean) / scale
    y = torch.where(torch.tensor(list(harmful)), 1.0, -1.0)
    direction = x.T @ torch.linalg.solve(x @ x.T + RIDGE * torch.eye(len(y)), y)
    return Probe(layer=layer, place=place, mean=mean, scale=scale, direction=direction)


def place_columns(rows: Sequence[Row], requests: Sequence[int]) -> dict[Place, list[int]]:
    """Where each row's places stand: rows end with the label, whose log-odds are read one token earlier.

    `requests`: as `request_ends` gives them.
    """
    return {
        "answer": [len(row) - 2 for row in rows],
        "request": list(requests),
    }


@torch.no_grad()
def place_residuals(
    model: HookedModel, examples: Sequence[Example], question: Question, layers: Sequence[int], *, batch_size: int = 12
) -> dict[Place, Float[Tensor, "example layer d_model"]]:
    """The residual stream after each of `layers` at all places, from one pass over each example and the question after it."""
    rows, requests = question_rows(model, examples, question), request_ends(model, examples)
    found: dict[tuple[Place, int], Tensor] = {}

    def read(indices: list[int]) -> dict[Place, Float[Tensor, "b layer d_model"]]:
        batch = make_batch(model, [rows[index] for index in indices])
        length = batch.tokens.shape[1]
        columns = place_columns([rows[index] for index in indices], [requests[index] for index in indices])
        with residuals_kept(model, layers) as kept:
            logits_sharing_prefix(
                model, batch.tokens, batch.attention_mask, batch.positions[:1], earliest=min(columns["request"])
            )
        return {
            place: stack_layers([at_columns(kept[layer], columns[place], length=length) for layer in layers], 1).cpu()
            for place in PLACES
        }

    for indices, residuals in map_batches(batched(rows, batch_size=batch_size), read):
        for place in PLACES:
            found.update({(place, index): row for index, row in zip(indices, residuals[place], strict=True)})
    return {place: torch.stack([found[place, index] for index in range(len(rows))]) for place in PLACES}
