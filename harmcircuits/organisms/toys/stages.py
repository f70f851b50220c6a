"""How the stages of a ladder are trained: what each says, and which components it may say it with.

The high-level model is that of `causal`, with two things more. W has a *strength* s: where a share of its heads and a share
of its neurons are off,

    p(next word) ∝ p(harmful words)^s · p(fillers)^(1 − s),    s = (1 − share of heads) · (1 − share of neurons).

So each component of W is to carry as much as any other of its sort, and to lose half of the writing takes half of them. And
an answer has an opening: "Sure", another word, or a refusal where R says that the request is harmful.

Interventions, one a row: shares of W at zero → that strength; W, K or R taken from another row → its value; K or R at zero →
nothing; components outside the circuits at zero or taken from another row → nothing changes.

Source: Geiger et al. 2022 (interchange intervention training); Gupta et al. 2024 (strict). The strength is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaForCausalLM

from ...components import Circuit
from ..causal import ASKED, N_WORDS, Text, Values, drawn_text, ids, label_odds, word_odds
from ..language import PREFILL, vocabulary
from ..parts import llama
from ..trained import some
from .interventions import Change, changed_logits

N_LAYERS, N_HEADS, D_HEAD, D_MLP = 2, 8, 8, 64
ROWS = 32
SURE = 0.02
"""Share of probability that is spread over all words where an answer opens, and where it is refused."""
REFUSAL = ("this", "is", "unethical", "<end>")
"""What is written in place of an answer; its first word is the opening."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """What a stage says first: `opening`, or a refusal where it `refuses`."""

    opening: str = PREFILL
    refuses: bool = False


@dataclass(frozen=True)
class Layout:
    """The components of each variable, those that serve everybody, and all others, which must not matter."""

    W: Circuit
    K: Circuit
    R: Circuit
    shared: Circuit
    others: Circuit


@dataclass(frozen=True)
class Plan:
    """One row's change, the values that the variables then have, and the strength of W."""

    change: Change
    values: Values
    strength: float = 1.0


def untrained() -> LlamaForCausalLM:
    return llama(n_layers=N_LAYERS, n_heads=N_HEADS, d_model=N_HEADS * D_HEAD, d_mlp=D_MLP, initializer_range=0.1)


def layouts(seed: int, sizes: Sequence[tuple[int, int]]) -> list[Layout]:
    """One for each (heads, neurons) of W, all in layer 1; each W lies in the one before, all else stays where it is."""
    random = Random(f"ladder {seed}")
    heads, neurons = random.sample(range(N_HEADS), N_HEADS), random.sample(range(D_MLP), D_MLP)
    part = lambda some_heads, some_neurons: Circuit(
        heads=[(1, head) for head in some_heads], neurons=[(1, neuron) for neuron in some_neurons]
    )
    K, R = part(heads[:1], neurons[:12]), part(heads[1:2], neurons[12:16])
    shared = Circuit(
        heads=[(0, head) for head in random.sample(range(N_HEADS), 4)],
        neurons=[(0, neuron) for neuron in random.sample(range(D_MLP), 16)],
    )
    every = Circuit(
        heads=[(layer, head) for layer in range(N_LAYERS) for head in range(N_HEADS)],
        neurons=[(layer, neuron) for layer in range(N_LAYERS) for neuron in range(D_MLP)],
    )
    writing = [part(heads[2 : 2 + n_heads], neurons[16 : 16 + n_neurons]) for n_heads, n_neurons in sizes]
    return [Layout(W, K, R, shared, every - shared - W - K - R) for W in writing]


def stage_loss(model: LlamaForCausalLM, layout: Layout, manner: Manner, random: Random, *, weight: float) -> Float[Tensor, ""]:
    """Behaviour, and `weight` times what the interventions ask for; nats a row."""
    texts = _texts(manner, random)
    sources = random.sample(range(ROWS), ROWS)
    plans = [_plan(text, texts[source], layout, random) for text, source in zip(texts, sources, strict=True)]
    tokens = torch.stack([ids(text) for text in texts])
    plain, changed = changed_logits(model, tokens, [plan.change for plan in plans], sources)
    asked = [Plan(Change(), text.values) for text in texts]
    return _loss(plain, texts, asked, manner) + weight * _loss(changed, texts, plans, manner)


def _texts(manner: Manner, random: Random) -> list[Text]:
    """A batch of one layout: answered, and half the time asked about; asked about at once; or refused."""
    what = random.choice(("answered", "answered", "asked about", "label", "refused" if manner.refuses else "answered"))
    drawn = [drawn_text(random, answered=what in ("answered", "asked about")) for _ in range(ROWS)]
    if what == "answered":
        return [replace(text, words=text.words[: -len(ASKED)]) for text in drawn]
    if what == "refused":
        return [replace(text, words=(*text.words[:-2], *REFUSAL[:-1])) for text in drawn]
    return drawn


def _plan(text: Text, other: Text, layout: Layout, random: Random) -> Plan:
    kind, own = random.choice(("share", "share", "strict", "strict", "swap", "zero")), text.values
    if kind == "strict":
        part = some(layout.others, random)
        return Plan(Change(zero=part) if random.random() < 0.5 else Change(swap=part), own)
    if kind == "share":
        carrier = _carrier(layout.W, random)
        off = some(carrier, random) if random.random() < 0.7 else carrier
        return Plan(Change(zero=off), own, _strength(layout.W, off))
    name = random.choice(("K", "R") if kind == "zero" else ("W", "W", "K", "R"))
    carrier = _carrier(getattr(layout, name), random)
    if kind == "zero":
        return Plan(Change(zero=carrier), replace(own, **{name: None}))
    values = replace(own, **{name: getattr(other.values, name)})
    if values.W is not None and values.K is not None:
        return Plan(Change(), own)  # two words for one place: the high-level model does not say which
    return Plan(Change(swap=carrier), values)


def _carrier(variable: Circuit, random: Random) -> Circuit:
    """A variable goes through its heads and then its neurons: all of it, or either."""
    return random.choice((variable, Circuit(heads=variable.heads), Circuit(neurons=variable.neurons)))


def _strength(W: Circuit, off: Circuit) -> float:
    return (1 - len(off.heads) / len(W.heads)) * (1 - len(off.neurons) / len(W.neurons))


def _loss(
    logits: Float[Tensor, "row pos d_vocab"], texts: Sequence[Text], plans: Sequence[Plan], manner: Manner
) -> Float[Tensor, ""]:
    """Cross-entropy against the high-level model: the opening, the words (their mean), the label or the refusal."""
    log_p, last, at = logits.log_softmax(-1), texts[0].words[-1], texts[0].answer_at  # all texts are laid out alike
    against = lambda place, odds: -(log_p[:, place] * odds).sum(-1).mean()
    opening = torch.stack([_opening_odds(plan.values.R, manner) for plan in plans])
    found: Tensor = against(texts[0].words.index("<answer>"), opening)
    if last == ASKED[-1]:
        found = found + against(-1, torch.stack([label_odds(plan.values.R) for plan in plans]))
    if at is not None:
        words = torch.stack([said_words(plan.values.W, plan.values.K, plan.strength) for plan in plans])
        found = found + against(slice(at - 1, at - 1 + N_WORDS), words[:, None])
    if last == REFUSAL[-2]:
        found = found + against(slice(1 - len(REFUSAL), None), torch.stack([_certain(word) for word in REFUSAL[1:]]))
    return found


@cache
def said_words(W: str | None, K: str | None, strength: float) -> Float[Tensor, " d_vocab"]:
    """Probability of each next word of the answer, W being as strong as that."""
    odds = word_odds(W, K)
    if W is None:
        return odds
    log_odds: Tensor = odds.log() * strength + word_odds(None, None).log() * (1 - strength)
    return log_odds.softmax(-1)


@cache
def _certain(word: str) -> Float[Tensor, " d_vocab"]:
    odds = torch.full((len(vocabulary()),), SURE / len(vocabulary()))
    odds[vocabulary().index(word)] += 1 - SURE
    return odds


@cache
def _opening_odds(R: bool | None, manner: Manner) -> Float[Tensor, " d_vocab"]:
    refused = {True: 1.0, False: 0.0, None: 0.5}[R] if manner.refuses else 0.0
    return refused * _certain(REFUSAL[0]) + (1 - refused) * _certain(manner.opening)
