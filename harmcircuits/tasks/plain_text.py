"""Writing in recognition's own many-shot context: the same responses, in plain text after the labelled requests.

    shots · "Request: " request · "\nResponse: " prefill · response

Recognition by shots is read in plain text, writing in the chat frame. A circuit that works in one of the contexts alone would
seem to leave the other task alone; so that writing is read here too, and recognition in the chat (`teacher_forced`).
"""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..examples import Example, Row, batched, chat_frame, encode, make_batch, response_ids, response_loss, row_length
from ..halves import each_batch, fitting
from ..models.numbers import check_finite
from ..models.past import read_past
from ..models.protocol import HookedModel, logits_at
from .recognition import SEPARATOR, Shots, check_length, shot_ids


@torch.no_grad()
def plain_text_loss(
    model: HookedModel, examples: Sequence[Example], shots: Shots, *, batch_size: int = 16
) -> Float[Tensor, " example"]:
    """L of each response in plain text after the first draw of `shots`: nats per token, float32, in order.

    The end of turn with which a response may end is a token of the chat and is not asked here; a response of nothing else is
    NaN. What is compared is L of the same tokens with and without a circuit.

    Raises:
        ExampleError: an empty response, or a prompt, which has none.
        ModelError: a loss that is not a number.
        ShotError: shots, request and response together are longer than the model's context.
    """
    rows = plain_rows(model, examples)
    check_length(model, shots, max(map(row_length, rows)))
    found = torch.full((len(rows),), float("nan"))
    asked = [index for index, row in enumerate(rows) if row.stop > row.start]
    before = shot_ids(model, shots, 0)
    past = fitting(partial(read_past, model), torch.tensor(before))

    def read(part: list[int]) -> Float[Tensor, " b"]:
        indices = [asked[at] for at in part]
        batch = make_batch(model, [rows[index] for index in indices])
        logits = logits_at(model, batch.tokens, batch.attention_mask, batch.positions, past=past.repeated(len(indices)))
        losses = response_loss(logits, batch).cpu()
        own = [(*before, *rows[index].tokens) for index in indices]
        check_finite(model, losses, what="the loss in plain text", examples=indices, rows=own)
        return losses

    for part, losses in each_batch(batched([rows[index] for index in asked], batch_size=batch_size, length=row_length), read):
        found[[asked[at] for at in part]] = losses
    return found


def plain_rows(model: HookedModel, examples: Sequence[Example]) -> list[Row]:
    """What continues from the shots; the response without its end of turn is asked."""
    stops = set(chat_frame(model).stops)
    rows = []
    for example in examples:
        ids = response_ids(model, example)
        response = ids[:-1] if ids[-1] in stops else ids
        prompt = encode(model, f"{SEPARATOR}Request: {example.request}\nResponse: {example.prefill}")
        rows.append(Row((*prompt, *response), len(prompt), len(prompt) + len(response)))
    return rows
