"""What recipes share: activations of neurons, rows that end where an answer begins, and scores as an attribution."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...attribution.scores import Attribution
from ...data import Example, batched, example_rows, make_batch, map_batches
from ...models.forward import logits_at, recorded
from ...models.protocol import HookedModel, geometry, neuron_hook

BATCH = 4
"""Rows a pass: all layers' activations are held."""


def without_answer(examples: Sequence[Example]) -> list[Example]:
    """Return the requests without prefill, each with one target in the response's place: the number of the example."""
    return [replace(example, prefill="", response_ids=(index,)) for index, example in enumerate(examples)]


@torch.no_grad()
def neuron_activations(
    model: HookedModel, examples: Sequence[Example]
) -> Iterator[tuple[int, Float[Tensor, "layer target d_mlp"]]]:
    """Yield by index of example what every neuron is (`hook_post`) where the targets are predicted, float32."""
    rows, points = example_rows(model, examples), [neuron_hook(layer) for layer in range(geometry(model).n_layers)]

    def read(indices: list[int]) -> list[Tensor]:
        batch = make_batch(model, [rows[index] for index in indices])
        with recorded(model, points) as activations:
            logits_at(model, batch.tokens, batch.attention_mask, batch.positions[:1])
        every = torch.stack(
            [activations[name].flatten(0, 1)[batch.positions.to(activations[name].device)].cpu() for name in points]
        )
        return list(every.float().split(torch.bincount(batch.row_of).tolist(), dim=1))

    for indices, parts in map_batches(batched(rows, batch_size=BATCH), read):
        yield from zip(indices, parts, strict=True)


def as_attribution(
    model: HookedModel,
    *,
    heads: Float[Tensor, "layer head"] | None = None,
    neurons: Float[Tensor, "layer d_mlp"] | None = None,
) -> Attribution:
    """Return scores as those of one example; a kind without any is NaN, not measured."""
    shape = geometry(model)
    nothing = lambda size: torch.full((shape.n_layers, size), torch.nan)
    parts = (nothing(shape.n_heads) if heads is None else heads, nothing(shape.d_mlp) if neurons is None else neurons)
    return Attribution(*(part[None] for part in parts))
