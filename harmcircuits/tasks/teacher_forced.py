"""One forward pass a batch and condition: the loss of the response, KL from the intact model, and recognition in place.

Rows are `prompt · response · question`. The question comes after the response, so that the very tokens whose loss is measured
are what the question is about, and it cannot change their loss. All conditions read a batch before the next one is laid out:
the intact model's distributions are kept for one batch only.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..ablation.hooks import ablated
from ..components import Circuit
from ..examples import (
    Batch,
    Example,
    Frame,
    Row,
    batched,
    chat_frame,
    encode,
    example_rows,
    make_batch,
    response_ids,
    row_length,
    token_nll,
)
from ..models.past import logits_shared
from ..models.protocol import HookedModel
from .formats import Question, label_ids

INTACT = "intact"


def teacher_forced(
    model: HookedModel,
    examples: Sequence[Example],
    circuits: Mapping[str, Circuit | None],
    *,
    question: Question | None = None,
    batch_size: int = 12,
    progress: bool = False,
) -> pd.DataFrame:
    """One row a condition and example: `condition, example, nll, kl, in_place`.

    - `nll`: L, mean −ln p of the response tokens, nats per token.
    - `kl`: mean over response tokens of KL(intact ‖ ablated), nats per token, ≥ 0; 0 for a circuit of None.
    - `in_place`: ln p(harmful label) − ln p(harmless label) after the question, nats; positive: "harmful". NaN without one.

    Args:
        circuits: by name; None is the intact model, which is the reference of `kl` whether it is among them or not.

    Raises:
        ExampleError: an example with an empty response.
        FormatError: the question's two labels begin with the same token.
    """
    rows = question_rows(model, examples, question) if question else example_rows(model, examples)
    labels = label_ids(model, question) if question else None
    parts: list[pd.DataFrame] = []
    with tqdm(total=len(rows) * len(circuits), desc="read responses", unit="row", disable=not progress) as bar:
        for indices in batched(rows, batch_size=batch_size, length=row_length):
            batch = make_batch(model, [rows[index] for index in indices])
            # the reference of `kl`, also where no condition is the intact model itself
            reference = None if None in circuits.values() else _read(model, batch, None, None, None)[1]
            for name, circuit in sorted(circuits.items(), key=lambda item: item[1] is not None):
                values, reference = _read(model, batch, circuit, labels, reference)
                parts.append(pd.DataFrame({"condition": name, "example": indices, **values}))
                bar.update(len(indices))
    order = {name: at for at, name in enumerate(circuits)}
    return pd.concat(parts).sort_values(
        ["condition", "example"],
        key=lambda column: column.map(order) if column.name == "condition" else column,
        ignore_index=True,
    )


def question_rows(model: HookedModel, examples: Sequence[Example], question: Question) -> list[Row]:
    """`prompt · response · turn · question · between · answer · label`: the response and the label are asked."""
    frame = chat_frame(model)
    rows = []
    for row, example in zip(example_rows(model, examples), examples, strict=True):
        suffix = question_ids(model, frame, response_ids(model, example), question)
        rows.append(Row((*row.tokens, *suffix, label_ids(model, question)[0]), row.start, row.stop))
    return rows


def question_ids(model: HookedModel, frame: Frame, response: Sequence[int], question: Question) -> list[int]:
    """From the end of the response to the label; a response that ended its turn itself does not end it twice."""
    ended = bool(response) and bool(frame.turn) and response[-1] == frame.turn[0]
    answer = encode(model, question.answer) if question.answer else []
    return [*frame.turn[ended:], *encode(model, question.text), *frame.between, *answer]


@torch.no_grad()
def _read(
    model: HookedModel,
    batch: Batch,
    circuit: Circuit | None,
    labels: tuple[int, int] | None,
    reference: Float[Tensor, "asked d_vocab"] | None,
) -> tuple[dict[str, list[float]], Float[Tensor, "asked d_vocab"] | None]:
    ends = (batch.attention_mask.sum(1) - 2) + torch.arange(len(batch.tokens)) * batch.tokens.shape[1]
    with ablated(model, circuit):
        logits = logits_shared(model, batch.tokens, batch.attention_mask, torch.cat([batch.positions, ends])).float()
    asked, last = logits[: len(batch.positions)], logits[len(batch.positions) :]
    log_p = asked.log_softmax(-1)
    if reference is None:
        reference = log_p
    kl = (reference.exp() * (reference - log_p)).sum(-1).clamp_min(0)  # rounding alone makes it negative
    values = {
        "nll": batch.mean_over_rows(token_nll(asked, batch)).tolist(),
        "kl": batch.mean_over_rows(kl).tolist(),
        "in_place": (last[:, labels[0]] - last[:, labels[1]]).tolist() if labels else [float("nan")] * len(last),
    }
    return values, reference
