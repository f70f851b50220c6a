"""Utility: whether the model still knows everyday facts and still reads plain prose.

    L(c) = −(1/|c|) ln p(c | stem)            a completion c of a fact's stem, |c| tokens, nats per token
    margin = min over wrong c of L(c) − L(right)

Both are read in plain text, without a chat frame: what falls here falls everywhere. Facts and passages are of our own writing.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch

from ..data import Row, batched, encode, make_batch, map_batches, row_losses, start_ids
from ..models.gradient_checks import check_finite
from ..models.prefix_cache import logits_sharing_prefix
from ..models.protocol import HookedModel, context_length

DATA = Path(__file__).with_name("data")
COLUMNS = ("kind", "item", "topic", "nll", "right", "margin")


class UtilityError(ValueError):
    """A number of items that makes no sense, or a context too short for a fact; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """An everyday fact: the beginning of a sentence, and how it may go on.

    Attributes:
        stem: ends where the answer begins, without a space.
        right: the right completion, with the space before it.
        wrong: others of the same kind, likewise.
        topic: what it is about; facts are taken from the topics in turn.
    """

    stem: str
    right: str
    wrong: tuple[str, ...]
    topic: str


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A short piece of plain prose (50 to 90 words): recipes, letters, notices, stories."""

    text: str
    topic: str


Item = TypeVar("Item", Fact, Passage)


def facts() -> tuple[Fact, ...]:
    """All facts, their topics in turn, so that the first few are as mixed as the whole.

    >>> fact = facts()[0]
    >>> fact.stem + fact.right, fact.wrong
    ('A young dog is called a puppy', (' kitten', ' calf', ' lamb'))
    """
    return _in_turn([Fact(**{**fields, "wrong": tuple(fields["wrong"])}) for fields in _read("facts")])


def passages() -> tuple[Passage, ...]:
    """All passages, their topics in turn.

    >>> [passage.topic for passage in passages()[:3]]
    ['kitchen', 'garden', 'letters']
    """
    return _in_turn([Passage(**fields) for fields in _read("passages")])


def utility(
    model: HookedModel, *, n_facts: int | None = None, n_passages: int | None = None, batch_size: int = 16
) -> pd.DataFrame:
    """One row an item, the facts first: what the model, ablated or not, makes of it.

    - `kind`: "fact" or "passage"; `item`: its index in `facts()` or `passages()`; `topic`.
    - `nll`: of a fact L of the right completion after its stem; of a passage the mean −ln p of its tokens; nats per token.
      A passage's first token counts only where the tokenizer puts one before it: otherwise there is nothing to predict it from.
    - `right`: 1 where the right completion has the lowest L of all, a tie being 0; NaN for passages.
    - `margin`: the lowest L of a wrong completion − L of the right one, nats per token; positive: known. NaN for passages.

    Passages longer than the model's context are cut to it: what is compared is the same tokens with and without a circuit.

    Args:
        n_facts: the first so many, all if there are fewer; None: all; 0: none.
        n_passages: likewise.

    Raises:
        UtilityError: a negative number of items, or a fact that does not fit into the model's context.
        ModelError: the model has no tokenizer.
    """
    known, prose = _first(facts(), n_facts, "n_facts"), _first(passages(), n_passages, "n_passages")
    completed = [fact_rows(model, fact) for fact in known]
    _check_context(model, chain.from_iterable(completed))
    plain = [passage_row(model, passage) for passage in prose]
    losses = _losses(model, chain(plain, *completed), batch_size)
    found: list[tuple[Any, ...]] = []
    for item, (fact, rows) in enumerate(zip(known, completed, strict=True)):
        right, *wrong = (losses[row] for row in rows)
        margin = min(wrong) - right
        found.append(("fact", item, fact.topic, right, float(margin > 0), margin))
    for item, (passage, row) in enumerate(zip(prose, plain, strict=True)):
        found.append(("passage", item, passage.topic, losses[row], float("nan"), float("nan")))
    return pd.DataFrame(found, columns=list(COLUMNS))


def fact_rows(model: HookedModel, fact: Fact) -> list[Row]:
    """`stem · completion` as the tokenizer begins a text, the right completion first; the completion is asked."""
    stem = [*start_ids(model), *encode(model, fact.stem)]
    completions = (encode(model, completion) for completion in (fact.right, *fact.wrong))
    return [Row((*stem, *ids), len(stem), len(stem) + len(ids)) for ids in completions]


def passage_row(model: HookedModel, passage: Passage) -> Row:
    """The text as the tokenizer begins one, cut to the model's context; every token but the row's first is asked."""
    ids = [*start_ids(model), *encode(model, passage.text)][: context_length(model)]
    return Row(tuple(ids), 1, len(ids))


def _losses(model: HookedModel, rows: Iterable[Row], batch_size: int) -> dict[Row, float]:
    """L of each row. Equal rows (completions that a small vocabulary does not tell apart) are read once: they tie exactly."""
    unique = set(rows)
    single = {row for row in unique if row.start == row.stop - 1 == len(row.tokens) - 1}
    longer = sorted(unique - single, key=lambda row: row.tokens)
    losses = dict(zip(longer, row_losses(model, longer, batch_size=batch_size).tolist(), strict=True))
    return losses | _of_last_tokens(model, single, batch_size)


@torch.no_grad()
def _of_last_tokens(model: HookedModel, rows: Iterable[Row], batch_size: int) -> dict[Row, float]:
    """The same of rows whose last token alone is asked. Those that differ in nothing else are one row to the model: most
    completions are one token, so that a fact costs about a third of the passes."""
    after: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        after.setdefault(row.tokens[:-1], []).append(row)
    groups, losses = sorted(after.values(), key=lambda group: group[0].tokens[:-1]), dict[Row, float]()

    def read(indices: list[int]) -> list[list[float]]:
        batch = make_batch(model, [groups[index][0] for index in indices])
        logits = logits_sharing_prefix(model, batch.tokens, batch.attention_mask, batch.positions)
        asked = logits.float().log_softmax(-1)
        own = [groups[index][0].tokens for index in indices]
        check_finite(model, asked[:, 0], what="the reading of everyday facts", examples=indices, rows=own)
        return [[-float(log_p[row.tokens[-1]]) for row in groups[index]] for index, log_p in zip(indices, asked, strict=True)]

    for indices, found in map_batches(batched(groups, batch_size=batch_size, length=lambda group: len(group[0])), read):
        losses.update(zip(chain(*(groups[index] for index in indices)), chain(*found), strict=True))
    return losses


def _check_context(model: HookedModel, rows: Iterable[Row]) -> None:
    longest, context = max(map(len, rows), default=0), context_length(model)
    if context is not None and longest > context:
        raise UtilityError(
            f"the longest fact is {longest} tokens and the model's context holds {context}: a fact that is cut is another "
            "question. Leave the facts out (n_facts=0)."
        )


def _first(items: tuple[Item, ...], n: int | None, name: str) -> tuple[Item, ...]:
    if n is not None and n < 0:
        raise UtilityError(f"{name} must be at least 0 (none), or None (all), not {n}")
    return items[:n]


def _read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]


def _in_turn(items: Sequence[Item]) -> tuple[Item, ...]:
    """The first of each topic, then the second of each, and so on."""
    topics: dict[str, list[Item]] = {}
    for item in items:
        topics.setdefault(item.topic, []).append(item)
    return tuple(item for turn in zip_longest(*topics.values()) for item in turn if item is not None)
