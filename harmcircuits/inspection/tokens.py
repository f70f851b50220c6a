"""Where a head or neuron is most active, over the tokens of examples."""

from collections.abc import Sequence
from typing import Literal, get_args

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from ..components import Component
from ..data import (
    Example,
    Frame,
    Prompt,
    Row,
    batched,
    chat_frame,
    check_context,
    example_rows,
    make_batch,
    prompt_ids,
    row_length,
)
from ..models.protocol import HookedModel, logits_at
from .part import InspectionError, Part, check_examples, keep, part_of, shown_pieces

Where = Literal["context", "response", "all"]
COLUMNS = ["token", "value", "context", "part", "example", "position"]
AROUND = 5
"""Tokens of context on either side."""


@torch.no_grad()
def top_tokens(
    model: HookedModel,
    examples: Sequence[Example] | Sequence[Prompt],
    *,
    head: Component | None = None,
    neuron: Component | None = None,
    k: int = 10,
    where: Where = "context",
    words: bool = False,
    batch_size: int = 8,
) -> pd.DataFrame:
    """The `k` tokens of `examples` at which a head or neuron is most active, the most active first.

        hc.top_tokens(model, harmful, neuron=(12, 845))
        hc.top_tokens(model, harmful, head=(3, 7), where="all")

    A neuron's value is its activation (`hook_post`), ranked by size whatever its sign; a head's is the length of what it reads
    out of the tokens before (`hook_z`), before W_O. Nothing else is kept of the pass.

    Args:
        head: (layer, head); or `neuron`: (layer, neuron).
        where: "context" is what comes before the response (chat frame, request and prefill); "response" its tokens; or "all".
        words: show the words of responses; else each is "·", since what a model wrote may be harmful.
        batch_size: rows a pass; values do not depend on it (beyond rounding).

    Returns:
        token, value, context (the tokens around it, it in brackets), part ("context", "response"), example and position
        (counted from 0; of the token that is read).

    Raises:
        InspectionError: not one component, no examples, `k` below 1, or another `where`.
        CircuitError: the model does not have the component.
        ExampleError: an example with an empty response, or a text longer than the model's context.
    """
    part = part_of(model, head=head, neuron=neuron)
    check_examples(examples)
    if k < 1:
        raise InspectionError(f"k is {k}: ask for at least 1 token")
    if where not in get_args(Where):
        raise InspectionError(f"where={where!r} is unknown: choose one of {', '.join(map(repr, get_args(Where)))}")
    rows = laid_out(model, examples)
    values = _values(model, rows, part, batch_size=batch_size)
    found = [
        (example, position, float(own[position]))
        for example, (row, own) in enumerate(zip(rows, values, strict=True))
        for position in range(*_asked(row, where))
    ]
    largest = sorted(found, key=lambda one: -abs(one[2]))[:k]
    return pd.DataFrame([_line(model, rows, *one, words=words) for one in largest], columns=COLUMNS)


def laid_out(model: HookedModel, examples: Sequence[Example | Prompt]) -> list[Row]:
    """As losses read them; a prompt has no response yet."""
    frame, written = chat_frame(model), iter(example_rows(model, [one for one in examples if isinstance(one, Example)]))
    rows = [_unanswered(model, frame, one) if isinstance(one, Prompt) else next(written) for one in examples]
    check_context(model, rows)
    return rows


def _unanswered(model: HookedModel, frame: Frame, prompt: Prompt) -> Row:
    ids = tuple(prompt_ids(model, frame, prompt.request, prompt.prefill))
    return Row(ids, len(ids), len(ids))


def _asked(row: Row, where: Where) -> tuple[int, int]:
    return {"context": (0, row.start), "response": (row.start, row.stop), "all": (0, row.stop)}[where]


def _values(model: HookedModel, rows: Sequence[Row], part: Part, *, batch_size: int) -> list[Float[Tensor, " pos"]]:
    """The value at every token of each row."""
    values = [torch.empty(0)] * len(rows)
    for indices in batched(rows, batch_size=batch_size, length=row_length):
        batch = make_batch(model, [rows[index] for index in indices])
        kept: list[Float[Tensor, "b pos"]] = []

        def read(activation: Tensor, kept: list[Tensor] = kept) -> None:
            own = activation[:, :, part.index].float()
            kept.append((own.norm(dim=-1) if part.is_head else own).cpu())

        with model.hooks(fwd_hooks=[keep(read, part.hook)]):
            logits_at(model, batch.tokens, batch.attention_mask, torch.zeros(1, dtype=torch.long))
        for at, index in enumerate(indices):
            values[index] = kept[0][at, : row_length(rows[index])]
    return values


def _line(
    model: HookedModel, rows: Sequence[Row], example: int, position: int, value: float, *, words: bool
) -> tuple[str, float, str, str, int, int]:
    row = rows[example]
    texts = shown_pieces(model, row, words=words)
    before, after = texts[max(0, position - AROUND) : position], texts[position + 1 : position + 1 + AROUND]
    part = "response" if row.start <= position < row.stop else "context"
    around = f"{''.join(before)}[{texts[position]}]{''.join(after)}"
    return texts[position], value, around, part, example, position
