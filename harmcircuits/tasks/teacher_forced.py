"""One forward pass a batch and condition: the loss of the response, KL from the intact model, recognition in place, probes.

Rows are `prompt · response · question`. The question comes after the response, so that the very tokens whose loss is measured
are what the question is about, and it cannot change their loss. All conditions read a batch before the next one is laid out:
the intact model's distributions are kept for one batch only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..ablation.ablate import Ablation, ablated
from ..data import Batch, Example, Row, batched, example_rows, make_batch, map_batches, token_nll
from ..models.gradient_checks import check_finite
from ..models.prefix_cache import logits_sharing_prefix
from ..models.protocol import HookedModel
from .asking import question_rows, request_ends
from .formats import FormatError, Question, label_ids
from .probe import Place, Probe, place_columns
from .residual import at_columns, residuals_kept

INTACT = "intact"


def teacher_forced(
    model: HookedModel,
    examples: Sequence[Example],
    conditions: Mapping[str, Ablation],
    *,
    question: Question | None = None,
    probes: Mapping[str, Probe] | None = None,
    kl: bool = True,
    batch_size: int = 12,
    progress: bool = False,
) -> pd.DataFrame:
    """One row a condition and example: `condition, example, nll, kl, in_place`, and a column for each of `probes`.

    - `nll`: L, mean −ln p of the response tokens, nats per token.
    - `kl`: mean over response tokens of KL(intact ‖ ablated), nats per token, ≥ 0; 0 for a condition of None.
    - `in_place`: ln p(harmful label) − ln p(harmless label) after the question, nats; positive: "harmful". NaN without one.
    - each probe's score, positive: "harmful".

    Args:
        conditions: by name; None is the intact model, which is the reference of `kl` whether it is among them or not.
        probes: by column; they are read where the question's answer stands, or at the request, and need a question.
        kl: False: it is NaN, and the intact model is not read for it.

    Raises:
        ExampleError: an example with an empty response, or (with the question) longer than the model's context.
        ModelError: a reading that is not a number (names it, the condition and the example).
        FormatError: the question's two labels begin with the same token, or probes without a question.
    """
    if probes and question is None:
        raise FormatError("probes are read in rows with a question after the response: give question= as well")
    rows = question_rows(model, examples, question) if question else example_rows(model, examples)
    requests = request_ends(model, examples)
    asking = _Asking(label_ids(model, question) if question else None, probes or {}, kl=kl)
    parts: list[pd.DataFrame] = []
    with tqdm(total=len(rows) * len(conditions), desc="read responses", unit="row", disable=not progress) as bar:

        def read(indices: list[int]) -> list[pd.DataFrame]:
            batch = make_batch(model, [rows[index] for index in indices])
            places = place_columns([rows[index] for index in indices], [requests[index] for index in indices])
            # the reference of `kl`, also where no condition is the intact model itself
            alone = kl and None not in conditions.values()
            reference = _read(model, batch, None, places, _Asking(), None)[1] if alone else None
            found = []
            for name, condition in sorted(conditions.items(), key=lambda item: item[1] is not None):
                values, reference = _read(model, batch, condition, places, asking, reference)
                found.append(pd.DataFrame({"condition": name, "example": indices, **values}))
                _check_numbers(model, found[-1], condition, rows, asking=asking)
            return found

        for indices, found in map_batches(batched(rows, batch_size=batch_size), read):
            parts += found
            bar.update(len(indices) * len(conditions))
    order = {name: at for at, name in enumerate(conditions)}
    return pd.concat(parts).sort_values(
        ["condition", "example"],
        key=lambda column: column.map(order) if column.name == "condition" else column,
        ignore_index=True,
    )


def _check_numbers(
    model: HookedModel, read: pd.DataFrame, condition: Ablation, rows: Sequence[Row], *, asking: "_Asking"
) -> None:
    """Raises ModelError for a reading of a batch that is not a number, unless it was not taken."""
    examples, name = read["example"].tolist(), read["condition"].iloc[0]
    own, skipped = [rows[index].tokens for index in examples], {"condition", "example"}
    skipped |= (set() if asking.labels else {"in_place"}) | (set() if asking.kl else {"kl"})
    within = ablated(model, condition)  # entered once at most: what is found is an error
    for what in (column for column in read.columns if column not in skipped):
        values = torch.tensor(read[what].to_numpy())
        check_finite(model, values, what=f"{what} under {name!r}", examples=examples, rows=own, within=within)


@dataclass(frozen=True)
class _Asking:
    """What is read besides the response's loss: the two labels after a question, probes by column, and KL."""

    labels: tuple[int, int] | None = None
    probes: Mapping[str, Probe] = field(default_factory=dict)
    kl: bool = True


@torch.no_grad()
def _read(
    model: HookedModel,
    batch: Batch,
    condition: Ablation,
    places: Mapping[Place, Sequence[int]],
    asking: _Asking,
    reference: Float[Tensor, "asked d_vocab"] | None,
) -> tuple[dict[str, list[float]], Float[Tensor, "asked d_vocab"] | None]:
    rows, length = batch.tokens.shape
    answers = torch.tensor(places["answer"]) + torch.arange(rows) * length
    layers = [probe.layer for probe in asking.probes.values()]
    with ablated(model, condition), residuals_kept(model, layers) as kept:
        logits = logits_sharing_prefix(
            model, batch.tokens, batch.attention_mask, torch.cat([batch.positions, answers]), earliest=min(places["request"])
        ).float()
    asked, last = logits[: len(batch.positions)], logits[len(batch.positions) :]
    labels, unread = asking.labels, [float("nan")] * rows
    values = {"nll": batch.mean_over_rows(token_nll(asked, batch)).tolist(), "kl": unread}
    if asking.kl:
        log_p = asked.log_softmax(-1)
        reference = log_p if reference is None else reference
        values["kl"] = batch.mean_over_rows(_kl(reference, log_p)).tolist()
    values["in_place"] = (last[:, labels[0]] - last[:, labels[1]]).tolist() if labels else unread
    for name, probe in asking.probes.items():
        values[name] = probe.score(at_columns(kept[probe.layer], places[probe.place], length=length)).tolist()
    return values, reference


def _kl(reference: Float[Tensor, "asked d_vocab"], log_p: Float[Tensor, "asked d_vocab"]) -> Float[Tensor, " asked"]:
    """Σ p_reference (ln p_reference − ln p), nats; a token that cannot come adds nothing."""
    shares = (reference.exp() * (reference - log_p)).masked_fill(reference.isneginf(), 0)
    return shares.sum(-1).clamp_min(0)  # rounding alone makes it negative
