"""Rows of tokens as padded batches, and the one loss that everything here is about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from ..halves import each_batch
from ..models.numbers import check_finite
from ..models.past import logits_shared
from ..models.protocol import HookedModel, pad_id
from .texts import Example, Row, example_rows, row_length


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows padded on the right, and where to look.

    Attributes:
        positions: flat indices (row · length + position) of the logits that predict the asked tokens, row after row.
        targets: the asked tokens, in the same order.
        row_of: the row of each.
    """

    tokens: Int[Tensor, "b pos"]
    attention_mask: Int[Tensor, "b pos"]
    positions: Int[Tensor, " asked"]
    targets: Int[Tensor, " asked"]
    row_of: Int[Tensor, " asked"]

    def mean_over_rows(self, values: Float[Tensor, " asked"]) -> Float[Tensor, " b"]:
        """The mean of `values` over the asked tokens of each row."""
        row_of = self.row_of.to(values.device)
        sums = torch.zeros(len(self.tokens), dtype=values.dtype, device=values.device).index_add(0, row_of, values)
        return sums / torch.bincount(row_of, minlength=len(self.tokens))


def make_batch(model: HookedModel, rows: Sequence[Row]) -> Batch:
    """`rows` padded on the right to the longest; logits at `positions` predict the asked tokens."""
    tokens = pad_sequence([torch.tensor(row.tokens) for row in rows], batch_first=True, padding_value=pad_id(model))
    lengths = torch.tensor([len(row.tokens) for row in rows])[:, None]
    mask = (torch.arange(tokens.shape[1])[None] < lengths).long()
    asked = [torch.arange(row.start, row.stop) + index * tokens.shape[1] for index, row in enumerate(rows)]
    row_of = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(part) for part in asked]))
    flat = torch.cat(asked)
    return Batch(tokens, mask, flat - 1, tokens.flatten()[flat], row_of)


def batched(rows: Sequence[Any], *, batch_size: int, length: Any = len) -> Iterator[list[int]]:
    """Indices of `rows` in batches of similar length, the longest first: memory runs out at once or never.

    Raises:
        ValueError: a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    order = sorted(range(len(rows)), key=lambda index: length(rows[index]), reverse=True)
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def token_nll(logits: Float[Tensor, "asked d_vocab"], batch: Batch) -> Float[Tensor, " asked"]:
    """−ln p of each asked token, in nats."""
    return cross_entropy(logits.float(), batch.targets.to(logits.device), reduction="none")


def response_loss(logits: Float[Tensor, "asked d_vocab"], batch: Batch) -> Float[Tensor, " b"]:
    """Mean negative log-likelihood of each row's asked tokens, in nats per token; prompt, prefill and padding never count."""
    return batch.mean_over_rows(token_nll(logits, batch))


@torch.no_grad()
def loss(model: HookedModel, examples: Sequence[Example], *, batch_size: int = 16) -> Float[Tensor, " example"]:
    """L of each example: mean negative log-likelihood of its response tokens, nats per token, float32, in order.

    Raises:
        ExampleError: an example with an empty response, or longer than the model's context, or a prompt, which has none yet.
        ModelError: a loss that is not a number (names the example, and where in the model that begins).
    """
    return row_losses(model, example_rows(model, examples), batch_size=batch_size)


@torch.no_grad()
def row_losses(model: HookedModel, rows: Sequence[Row], *, batch_size: int = 16) -> Float[Tensor, " row"]:
    """The same of rows that are laid out already. Raises ModelError as `loss`."""

    def read(indices: list[int]) -> Float[Tensor, " b"]:
        some = [rows[index] for index in indices]
        batch = make_batch(model, some)
        found = response_loss(logits_shared(model, batch.tokens, batch.attention_mask, batch.positions), batch).cpu()
        check_finite(model, found, what="the loss", examples=indices, rows=[row.tokens for row in some])
        return found

    losses = torch.empty(len(rows))
    for indices, found in each_batch(batched(rows, batch_size=batch_size, length=row_length), read):
        losses[indices] = found
    return losses
