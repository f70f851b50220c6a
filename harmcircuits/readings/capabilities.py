"""Capabilities: everyday facts and plain prose, and sentences to be finished in the chat frame; of our own writing.

    L(c) = −(1/|c|) ln p(c | stem)            a completion c of |c| tokens, nats per token
    right: L(right completion) < L of every wrong one; a tie is not right

Facts and passages are read in plain text, without a chat frame: what falls here falls everywhere. Completions stand where
harmful text is written: `before · "Finish the sentence." · between · stem · completion`, so that circuits that
differ do not differ by their layout alone.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, zip_longest
from math import nan
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from ..data import Example, Row, encode, example_rows, row_losses, start_ids
from ..data.examples import check_context
from ..errors import HarmcircuitsError
from ..models.protocol import HookedModel, context_length
from .reading import Reading

DATA = Path(__file__).with_name("data")
REQUEST = "Finish the sentence."
Half: TypeAlias = Literal["training", "test"]
HALVES: tuple[Half, ...] = get_args(Half)


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The beginning of a sentence, how it goes on, and how it does not.

    Attributes:
        stem: ends where the answer begins, without a space.
        right: the right completion, with the space before it.
        wrong: others of the same kind, likewise.
        topic: halves are stratified by it.
        request: what the user asks before.
    """

    stem: str
    right: str
    wrong: tuple[str, ...]
    topic: str
    request: str = REQUEST

    @property
    def completions(self) -> tuple[str, ...]:
        """The right one first."""
        return (self.right, *self.wrong)

    @property
    def chance(self) -> float:
        """How often a blind choice is right."""
        return 1 / len(self.completions)


def capabilities() -> dict[str, tuple[Completion, ...]]:
    """Return all sentences by capability, their topics in turn, so that the first few are as mixed as the whole.

    >>> {kind: len(items) for kind, items in capabilities().items()}
    {'facts': 304, 'arithmetic': 160, 'grammar': 160}
    >>> item, *_ = capabilities()["grammar"]
    >>> item.stem + item.right, item.wrong
    ('The dogs in the garden are', (' is',))
    """
    completion = lambda fields: Completion(**{**fields, "wrong": tuple(fields["wrong"])})
    return {kind: tuple(map(completion, _read(kind))) for kind in ("facts", "arithmetic", "grammar")}


def passages() -> tuple[str, ...]:
    """Return short pieces of plain prose (50 to 90 words): recipes, letters, notices, stories; topics in turn."""
    return tuple(fields["text"] for fields in _read("passages"))


def half(items: Sequence[Completion], which: Half) -> tuple[Completion, ...]:
    """Return every other sentence of each topic: "training" begins with the first, "test" with the second."""
    rank: dict[str, Iterator[int]] = defaultdict(count)  # of a sentence in its topic
    return tuple(item for item in items if next(rank[item.topic]) % 2 == HALVES.index(which))


def check_sentences(capabilities: Mapping[str, Sequence[Completion]], *, fewest: int) -> None:
    """Raise HarmcircuitsError unless every capability has `fewest` sentences in each half, each with a wrong completion."""
    for kind, items in capabilities.items():
        sizes = {which: len(half(items, which)) for which in HALVES}
        if min(sizes.values()) < fewest:
            raise HarmcircuitsError(
                f"capability {kind!r} has {sizes['training']} sentences to attribute and {sizes['test']} to test, and at "
                f"least {fewest} of each are needed: every other sentence of a topic goes to either half"
            )
        if any(not item.wrong or item.right in item.wrong for item in items):
            raise HarmcircuitsError(
                f"capability {kind!r} has a sentence without wrong completions, or the right one among them"
            )


def as_example(item: Completion, completion: str | None = None) -> Example:
    """Return the sentence with its right completion, or with another one, as something whose L can be read."""
    response = item.right if completion is None else completion
    return Example(request=item.request, prefill=item.stem, response=response, category=item.topic)


@dataclass(frozen=True)
class Capabilities(Reading):
    """Columns `fact` (1 where the right completion is likelier than every wrong one) and `passage` (loss, nats per token).

    A passage longer than the model's context is cut to it: the same tokens are compared with and without a circuit. Its first
    token counts only where the tokenizer puts one before it.

    Raises:
        HarmcircuitsError: a fact that does not fit into the model's context (when it is read).
    """

    name = "capabilities"
    facts: int = 60
    passages: int = 12

    def values(self, model: HookedModel) -> dict[str, Any]:
        start = start_ids(model)
        facts = [fact_rows(model, item) for item in capabilities()["facts"][: self.facts]]
        check_context(model, [*chain(*facts)], what="completion of a fact")
        texts = [tuple([*start, *encode(model, text)][: context_length(model)]) for text in passages()[: self.passages]]
        prose = [Row(tokens, 1, len(tokens)) for tokens in texts]
        losses = losses_of(model, [*prose, *chain(*facts)])
        return {
            "fact": [*(right_first(losses, rows) for rows in facts), *[nan] * len(prose)],
            "passage": [*[nan] * len(facts), *(losses[row] for row in prose)],
        }


@dataclass(frozen=True)
class Completions(Reading):
    """Column `CAPABILITY loss`: L of the right completion of each sentence in the chat frame, nats per token.

    Attributes:
        capability: what the sentences test.
        wrong: also read the wrong completions; column `CAPABILITY right`, 1 where the right one has the lowest L of all.
    """

    name = "completions"
    capability: str
    items: tuple[Completion, ...]
    wrong: bool = False

    def values(self, model: HookedModel) -> dict[str, Any]:
        read = None if self.wrong else 1  # completions of each sentence
        examples = ([as_example(item, completion) for completion in item.completions[:read]] for item in self.items)
        rows = [example_rows(model, completions) for completions in examples]
        losses = losses_of(model, chain(*rows))
        columns = {f"{self.capability} loss": [losses[right] for right, *_ in rows]}
        if self.wrong:
            columns[f"{self.capability} right"] = [right_first(losses, completions) for completions in rows]
        return columns


def fact_rows(model: HookedModel, item: Completion) -> list[Row]:
    """Return `stem · completion` as the tokenizer begins a text, the right completion first; the completion is the target."""
    stem = [*start_ids(model), *encode(model, item.stem)]
    completions = (encode(model, completion) for completion in item.completions)
    return [Row((*stem, *ids), len(stem), len(stem) + len(ids)) for ids in completions]


def right_first(losses: Mapping[Row, float], rows: Sequence[Row]) -> float:
    """Return 1 where L of the first row, the right completion, is below that of every other one, else 0."""
    right, *wrong = (losses[row] for row in rows)
    return float(right < min(wrong))


def losses_of(model: HookedModel, rows: Iterable[Row], *, batch_size: int = 32) -> dict[Row, float]:
    """Return L of each row. Equal rows (completions that a small vocabulary does not tell apart) are read once: they tie."""
    unique = list(dict.fromkeys(rows))
    return dict(zip(unique, row_losses(model, unique, batch_size=batch_size).tolist(), strict=True)) if unique else {}


def _read(name: str) -> list[dict[str, Any]]:
    """The lines of a file: the first of each topic, then the second of each, and so on."""
    topics: dict[str, list[dict[str, Any]]] = {}
    for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines():
        fields = json.loads(line)
        topics.setdefault(fields["topic"], []).append(fields)
    return [fields for turn in zip_longest(*topics.values()) for fields in turn if fields is not None]
