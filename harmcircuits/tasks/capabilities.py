"""Benign capabilities to attribute and to test: facts, arithmetic and grammar, each as sentences to be finished.

    before · "Finish the sentence." · between · stem · completion

A stem is put in the model's mouth as a prefill is, so that a capability is read in the very frame in which harmful text is
written: circuits that differ do not differ by their layout alone.

    L(c) = −(1/|c|) ln p(c | stem)                     nats per token
    margin = min over wrong c of L(c) − L(right)       positive: known

What is attributed is L of the right completion. The sentences are of our own writing; facts are those of `tasks.utility`.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal, TypeAlias, get_args

import pandas as pd

from ..data import Example, example_rows, row_losses
from ..models.protocol import HookedModel
from .utility import DATA, facts

REQUEST = "Finish the sentence."
Half: TypeAlias = Literal["training", "test"]
HALVES: tuple[Half, ...] = get_args(Half)
COLUMNS = ("item", "topic", "nll", "margin", "right", "chance")


class CapabilityError(ValueError):
    """A capability or a half that there is not; the message says which there are."""


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
    def chance(self) -> float:
        """How often a blind choice is right."""
        return 1 / (1 + len(self.wrong))


def capabilities() -> dict[str, tuple[Completion, ...]]:
    """All sentences by capability, their topics in turn, so that the first few are as mixed as the whole.

    >>> {kind: len(items) for kind, items in capabilities().items()}
    {'facts': 304, 'arithmetic': 160, 'grammar': 160}
    >>> item, *_ = capabilities()["grammar"]
    >>> item.stem + item.right, item.wrong
    ('The dogs in the garden are', (' is',))
    """
    known = tuple(Completion(stem=one.stem, right=one.right, wrong=one.wrong, topic=one.topic) for one in facts())
    return {"facts": known} | {kind: _read(kind) for kind in ("arithmetic", "grammar")}


def half(items: Sequence[Completion], which: Half) -> tuple[Completion, ...]:
    """Every other sentence of each topic, in order: "training" begins with the first, "test" with the second.

    Raises:
        CapabilityError: another half.
    """
    if which not in HALVES:
        raise CapabilityError(f"there is no half {which!r}: choose one of {', '.join(HALVES)}")
    seen, kept = Counter[str](), []
    for item in items:
        if seen[item.topic] % 2 == HALVES.index(which):
            kept.append(item)
        seen[item.topic] += 1
    return tuple(kept)


def as_example(item: Completion, completion: str | None = None) -> Example:
    """The sentence with its right completion, or with another one, as something whose L can be read."""
    response = item.right if completion is None else completion
    return Example(request=item.request, prefill=item.stem, response=response, category=item.topic)


def read_completions(model: HookedModel, items: Sequence[Completion], *, batch_size: int = 32) -> pd.DataFrame:
    """One row a sentence: what the model, ablated or not, makes of it.

    - `item`: its index in `items`; `topic`.
    - `nll`: L of the right completion, nats per token.
    - `margin`: the lowest L of a wrong completion − L of the right one, nats per token; positive: known.
    - `right`: 1 where the margin is above 0, a tie being 0; `chance`: what a blind choice has.

    Raises:
        ExampleError: an empty completion.
    """
    completed = [example_rows(model, [as_example(item, one) for one in (item.right, *item.wrong)]) for item in items]
    unique = list(dict.fromkeys(row for rows in completed for row in rows))  # equal rows tie exactly
    losses = dict(zip(unique, row_losses(model, unique, batch_size=batch_size).tolist(), strict=True))
    found = []
    for at, (item, rows) in enumerate(zip(items, completed, strict=True)):
        right, *wrong = (losses[row] for row in rows)
        margin = min(wrong) - right
        found.append((at, item.topic, right, margin, float(margin > 0), item.chance))
    return pd.DataFrame(found, columns=list(COLUMNS))


def checked(given: Mapping[str, Sequence[Completion]], *, fewest: int) -> dict[str, tuple[Completion, ...]]:
    """`given`, where every capability has `fewest` sentences in each half, each with a wrong completion.

    Raises:
        CapabilityError: naming the capability that has not.
    """
    for kind, items in given.items():
        sizes = {which: len(half(items, which)) for which in HALVES}
        if min(sizes.values()) < fewest:
            raise CapabilityError(
                f"capability {kind!r} has {sizes['training']} sentences to attribute and {sizes['test']} to test, and at "
                f"least {fewest} of each are needed: every other sentence of a topic goes to either half"
            )
        if any(not item.wrong or item.right in item.wrong for item in items):
            raise CapabilityError(
                f"capability {kind!r} has a sentence without a wrong completion, or whose right one is among the wrong ones"
            )
    return {kind: tuple(items) for kind, items in given.items()}


def _read(kind: str) -> tuple[Completion, ...]:
    topics: dict[str, list[Completion]] = {}
    for line in (DATA / f"{kind}.jsonl").read_text("utf-8").splitlines():
        fields = json.loads(line)
        topics.setdefault(fields["topic"], []).append(Completion(**{**fields, "wrong": tuple(fields["wrong"])}))
    return tuple(item for turn in zip_longest(*topics.values()) for item in turn if item is not None)
