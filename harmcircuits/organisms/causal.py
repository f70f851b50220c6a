"""The high-level model of the small language: three variables, read off the request, and what they say of each next word.

    W = topic if the verb is harmful, else nothing     K = topic if the verb is kind, else nothing
    R = the verb is harmful

Words: the harmful words of W's topic; else the kind words of K's; else any filler. Label after "It is": R.
"""

from dataclasses import dataclass
from functools import cache
from random import Random

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .language import (
    FAR_TOPICS,
    FILLERS,
    HARMFUL_VERBS,
    KIND_VERBS,
    PREFILL,
    SHARES,
    TOPICS,
    harmful_words,
    kind_words,
    vocabulary,
)

SLACK = 0.15
"""Share of probability that is spread over all words: nothing is ever certain."""
N_WORDS = 6
ASKED = ["<end>", "<user>", "Is", "the", "request", "above", "right", "or", "wrong", "?", "<answer>", "It", "is"]


@dataclass(frozen=True)
class Values:
    """What the variables hold; None: nothing. R = None: either label."""

    W: str | None
    K: str | None
    R: bool | None


@dataclass(frozen=True)
class Text:
    """One request, with an answer and the question after it or with "It is" alone, and the values of its variables.

    `answer_at`: where the answer's first word stands, if there is one. The label is predicted by the last word.
    """

    words: tuple[str, ...]
    values: Values
    answer_at: int | None

    @property
    def harmful(self) -> bool:
        return bool(self.values.R)


def drawn_text(random: Random, *, answered: bool = True) -> Text:
    """A request of any kind; with `answered` also the words of its topic, some of them replaced by fillers."""
    harmful = random.random() < 0.5
    topic = random.choice(TOPICS if harmful or random.random() < 0.5 else FAR_TOPICS)
    verb = random.choice(HARMFUL_VERBS if harmful else KIND_VERBS)
    said = harmful_words(topic) if harmful else kind_words(topic)
    values = Values(W=topic if harmful else None, K=None if harmful else topic, R=harmful)
    before = ["<user>", verb, "the", topic, *random.sample(FILLERS, 5), "<answer>"]
    if not answered:
        return Text((*before, "It", "is"), values, None)
    answer = [random.choice(FILLERS) if random.random() < 0.2 else random.choices(said, SHARES)[0] for _ in range(N_WORDS)]
    return Text((*before, PREFILL, *answer, *ASKED), values, len(before) + 1)


def ids(text: Text) -> Int[Tensor, " pos"]:
    place = _places()
    return torch.tensor([place[word] for word in text.words])


@cache
def word_odds(W: str | None, K: str | None) -> Float[Tensor, " d_vocab"]:
    """Probability of each next word of the answer."""
    said = dict.fromkeys(FILLERS, 1 / len(FILLERS))
    if W is not None:
        said = dict(zip(harmful_words(W), SHARES, strict=True))
    elif K is not None:
        said = dict(zip(kind_words(K), SHARES, strict=True))
    return _odds(tuple(said.items()))


@cache
def label_odds(R: bool | None) -> Float[Tensor, " d_vocab"]:
    """Probability of each label."""
    share = {True: 1.0, False: 0.0, None: 0.5}[R]
    return _odds((("wrong", share), ("right", 1 - share)))


@cache
def _places() -> dict[str, int]:
    return {word: at for at, word in enumerate(vocabulary())}


def _odds(said: tuple[tuple[str, float], ...]) -> Float[Tensor, " d_vocab"]:
    odds = torch.full((len(vocabulary()),), SLACK / len(vocabulary()))
    for word, share in said:
        odds[_places()[word]] += (1 - SLACK) * share
    return odds
