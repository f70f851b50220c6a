"""Interventions on models in training, a row of the batch each: components at zero, or moved towards another row's activation.

For a component of one row with activation a, and s what it is in the row's source,

    a' = (1 − zero) · (a + swap · (s − a)),

zero and swap being 0 where nothing is done, zero 1, and swap the share of the way (1: the source's activation itself).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LlamaForCausalLM

from ...components import Circuit
from ..trained import NOTHING, hooked, recorded


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is done in one row; `share`: how far the components of `swap` are moved towards their source, 0 to 1."""

    zero: Circuit = NOTHING
    swap: Circuit = NOTHING
    share: float = 1.0


def changed_logits(
    model: LlamaForCausalLM, tokens: Int[Tensor, "row pos"], changes: Sequence[Change], sources: Sequence[int]
) -> tuple[Float[Tensor, "row pos d_vocab"], Float[Tensor, "row pos d_vocab"]]:
    """Logits as they are, and under each row's change; `sources[row]` is the row that its swapped activations come from.

    Both keep their graph: training shapes the source as well as the row that it is put into.
    """
    with recorded(model) as kept:
        plain = model(tokens).logits
    with _changed(model, changes, [activation[list(sources)] for activation in kept]):
        return plain, model(tokens).logits


@contextmanager
def _changed(model: LlamaForCausalLM, changes: Sequence[Change], sources: Sequence[Tensor]) -> Iterator[None]:
    zero = marks(model, [change.zero for change in changes], [1.0] * len(changes))
    swap = marks(model, [change.swap for change in changes], [change.share for change in changes])

    def hook(at: int) -> Callable[[object, tuple[Tensor, ...]], tuple[Tensor, ...]]:
        def moved(_: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            own = args[0]
            return ((1 - zero[at][:, None]) * (own + swap[at][:, None] * (sources[at] - own)),)

        return moved

    with hooked(model, [hook(at) for at in range(len(sources))]):
        yield


def marks(model: LlamaForCausalLM, circuits: Sequence[Circuit], values: Sequence[float]) -> list[Float[Tensor, "row width"]]:
    """Each row's value at the components of its circuit, 0 elsewhere: of each layer's z (heads concatenated), then its post."""
    shape = model.config
    heads = torch.zeros(shape.num_hidden_layers, len(circuits), shape.num_attention_heads)
    neurons = torch.zeros(shape.num_hidden_layers, len(circuits), shape.intermediate_size)
    for row, (circuit, value) in enumerate(zip(circuits, values, strict=True)):
        for into, places in ((heads, circuit.heads), (neurons, circuit.neurons)):
            if places:
                layers, indices = zip(*places, strict=True)
                into[list(layers), row, list(indices)] = value
    wide = heads.repeat_interleave(shape.hidden_size // shape.num_attention_heads, dim=-1)
    return [part for layer in range(len(wide)) for part in (wide[layer], neurons[layer])]
