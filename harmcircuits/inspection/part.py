"""One head or neuron of a model, by the place where it is read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..components import Circuit, Component
from ..data import Example, Prompt, Row, pieces
from ..models.protocol import Hook, HookedModel, head_hook, neuron_hook

HIDDEN = "·"


class InspectionError(ValueError):
    """A component or examples that cannot be looked at; the message says what to give instead."""


@dataclass(frozen=True)
class Part:
    """A head or a neuron."""

    is_head: bool
    layer: int
    index: int

    @property
    def name(self) -> str:
        return f"L{self.layer}H{self.index}" if self.is_head else f"neuron {self.layer}.{self.index}"

    @property
    def hook(self) -> str:
        """Of the activations of all heads [batch, pos, head, d_head], or all neurons [batch, pos, d_mlp], of its layer."""
        return head_hook(self.layer) if self.is_head else neuron_hook(self.layer)


def part_of(model: HookedModel, *, head: Component | None, neuron: Component | None) -> Part:
    """The one that is named, (layer, index) counted from 0.

    Raises:
        InspectionError: both, or neither.
        CircuitError: the model does not have it. ModelError: its layer has no hook point.
    """
    if (head is None) == (neuron is None):
        raise InspectionError("give one component: head=(layer, head) or neuron=(layer, neuron)")
    named = Circuit(heads=[head]) if head is not None else Circuit(neurons=[neuron] if neuron is not None else [])
    named.check(model)
    ((layer, index),) = (*named.heads, *named.neurons)
    return Part(head is not None, layer, index)


def check_examples(examples: Sequence[Example] | Sequence[Prompt]) -> None:
    """Raises InspectionError where there are none, or one stands for a list."""
    if isinstance(examples, Example | Prompt):
        raise InspectionError("examples are a list: put a single one in a list")
    if not examples:
        raise InspectionError("no examples: there is nothing to look at. Elicit some first (hc.elicit).")


def keep(read: Callable[[Tensor], None], name: str) -> Hook:
    """A hook that shows the activation to `read` and leaves it as it is."""

    def hook(activation: Tensor, hook: object) -> Tensor:
        read(activation)
        return activation

    return name, hook


def shown_pieces(model: HookedModel, row: Row, *, words: bool) -> list[str]:
    """`pieces` of a row, those of its response hidden unless `words`."""
    texts = pieces(model, row.tokens)
    return texts if words else [HIDDEN if row.start <= at < row.stop else text for at, text in enumerate(texts)]
