"""Where a head looks, on one example."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from ..components import Component
from ..data import Example, Prompt, make_batch, pieces
from ..figures.attention_pattern import attention_heatmap
from ..models.protocol import HookedModel, ModelError, logits_at
from ..notebook import notebook_html
from .part import HIDDEN, InspectionError, keep, part_of
from .tokens import laid_out

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False, kw_only=True)
class AttentionPattern:
    """The attention of one head on one example.

    Attributes:
        component: "L3H7".
        pattern: how much each query token takes from each key token; a row sums to 1, and tokens after the query get 0.
        tokens: the text of each token, chat frame and response too.
        n_context: tokens before the response.
    """

    component: str
    pattern: Float[Tensor, "query key"]
    tokens: tuple[str, ...]
    n_context: int

    def shown(self, *, words: bool = False) -> list[str]:
        """`tokens`, those of the response hidden unless `words`: what a model wrote may be harmful."""
        return [text if words or at < self.n_context else HIDDEN for at, text in enumerate(self.tokens)]

    def figure(self, *, words: bool = False) -> "go.Figure":
        """The pattern as a heat map, queries downwards; words of the response are hidden unless `words`."""
        return attention_heatmap(
            self.pattern.numpy(), self.shown(words=words), n_context=self.n_context, title=f"Where does {self.component} look?"
        )

    def __repr__(self) -> str:
        response = len(self.tokens) - self.n_context
        return f"AttentionPattern({self.component}, {len(self.tokens)} tokens, {response} of the response)"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), figure=self.figure)


@torch.no_grad()
def attention_pattern(model: HookedModel, example: Example | Prompt, *, head: Component) -> AttentionPattern:
    """How much each token of `example` takes from the tokens before it in one head (`hook_pattern`, after the softmax).

        pattern = hc.attention_pattern(model, harmful[0], head=(3, 7))
        pattern.figure(), pattern.pattern

    Args:
        head: (layer, head).

    Raises:
        InspectionError: a list of examples.
        CircuitError: the model does not have the head.
        ModelError: its layer computes no pattern.
        ExampleError: an example with an empty response.
    """
    if not isinstance(example, Example | Prompt):
        raise InspectionError(f"give one example (harmful[0]), not a {type(example).__name__}")
    part = part_of(model, head=head, neuron=None)
    name = f"blocks.{part.layer}.attn.hook_pattern"
    if name not in model.hook_dict:
        raise ModelError(f"the model has no hook point {name!r}: that layer's attention has no pattern that could be seen")
    (row,) = laid_out(model, [example])
    batch = make_batch(model, [row])
    kept: list[Float[Tensor, "query key"]] = []
    with model.hooks(fwd_hooks=[keep(lambda pattern: kept.append(pattern[0, part.index].float().cpu()), name)]):
        logits_at(model, batch.tokens, batch.attention_mask, torch.zeros(1, dtype=torch.long))
    return AttentionPattern(component=part.name, pattern=kept[0], tokens=tuple(pieces(model, row.tokens)), n_context=row.start)
