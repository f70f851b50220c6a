"""How a model of advice is trained: planted components say whether an answer is bad, for all domains or for one each.

The high-level model has one variable a gate, its *strength* s: 1 where the question has a bad character of the gate's domains,
else 0. With the thing that is asked about, p(answer) ∝ p(good word)^(1 − s) · p(bad word)^s. A gate is heads of layer 1, which
bring the character, and neurons of layer 1, which write the bad words then. Interventions, one a row:

    move     a gate's heads go a share of the way to the same question under another character → s goes as far
    zero     its heads are at zero → s = 0; a share of its neurons → s falls by that share of itself
    strict   components of layer 1 outside the domain's gate, those of other domains' gates too, are taken from the same
             question under another character → nothing changes

"move" makes the log-odds of bad against good rise evenly along the way: a model that answers well stands on a slope, and not on
a flat place, so that fine-tuning can find the gate. The unembedding stays at its random start: no direction is bad in itself,
and each bad word has to be written by something that knows the thing.

Source: as `organisms.trained`. Shares of a swap are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LlamaForCausalLM

from ...components import Circuit
from ..parts import llama
from ..trained import some
from .domains import BAD_CHARACTERS, GOOD_CHARACTER, THINGS, bad_word, good_word, question, toy_vocabulary
from .interventions import Change, changed_logits

Kind = Literal["shared", "separate"]
KINDS: tuple[Kind, ...] = get_args(Kind)
N_LAYERS, N_HEADS, D_HEAD, D_MLP = 2, 10, 8, 128
ROWS = 48
SLIP = 0.05
"""Probability of the other word, good or bad: nobody is all of a piece, and log-odds have somewhere to go."""
LOG_ODDS = torch.tensor(1 - SLIP).logit().item()
SLACK = 0.02
"""Share of probability that is spread over all words."""


@dataclass(frozen=True)
class Layout:
    """By domain its gate, which is the same one where it is shared, and all else in layer 1, which must not say what is bad."""

    kind: Kind
    gates: Mapping[str, Circuit]
    others: Mapping[str, Circuit]


@dataclass(frozen=True)
class Asked:
    """A question and its answer, and how strong the gate of its domain is."""

    domain: str
    thing: str
    words: tuple[str, ...]
    strength: float


def untrained() -> LlamaForCausalLM:
    """With the words of advice; its unembedding is not to be trained."""
    model = llama(n_layers=N_LAYERS, n_heads=N_HEADS, d_model=N_HEADS * D_HEAD, d_mlp=D_MLP, initializer_range=0.1)
    model.resize_token_embeddings(len(toy_vocabulary()), mean_resizing=False)
    model.lm_head.weight.requires_grad_(False)
    return model


def drawn_layout(seed: int, kind: Kind) -> Layout:
    """Two heads and 40 neurons for all domains together, or one head and 8 neurons for each; all in layer 1."""
    random = Random(f"advice {seed}")
    heads, neurons = random.sample(range(N_HEADS), N_HEADS), random.sample(range(D_MLP), D_MLP)
    part = lambda some_heads, some_neurons: Circuit(
        heads=[(1, head) for head in some_heads], neurons=[(1, neuron) for neuron in some_neurons]
    )
    if kind == "shared":
        gates = dict.fromkeys(THINGS, part(heads[:2], neurons[:40]))
    else:
        gates = {domain: part([heads[at]], neurons[8 * at : 8 * at + 8]) for at, domain in enumerate(THINGS)}
    return Layout(kind, gates, {domain: part(heads, neurons) - gate for domain, gate in gates.items()})


def advice_loss(model: LlamaForCausalLM, layout: Layout, random: Random, *, weight: float) -> Float[Tensor, ""]:
    """Behaviour, and `weight` times what the interventions ask for; nats a row.

    Rows come in twos, which ask the same under different characters and are each other's source.
    """
    rows = [row for _ in range(ROWS // 2) for row in _two(layout.kind, random)]
    sources = [at ^ 1 for at in range(ROWS)]
    changes, strengths = zip(*(_changed(rows[at], rows[at ^ 1], layout, random) for at in range(ROWS)), strict=True)
    tokens = torch.stack([_ids(row.words) for row in rows])
    plain, changed = changed_logits(model, tokens, changes, sources)
    return _loss(plain, rows, [row.strength for row in rows]) + weight * _loss(changed, rows, strengths)


def _two(kind: Kind, random: Random) -> list[Asked]:
    """One question, under two characters."""
    domain = random.choice(list(THINGS))
    thing = random.choice(THINGS[domain])
    seed = random.random()
    return [_asked(kind, domain, thing, character, seed) for character in _characters(domain, random)]


def _characters(domain: str, random: Random) -> list[str | None]:
    """Two of: none, the good one, the domain's bad one, the bad one of another domain."""
    bad = random.choice([name for at, name in BAD_CHARACTERS.items() if at != domain])
    return random.sample([None, None, GOOD_CHARACTER, BAD_CHARACTERS[domain], BAD_CHARACTERS[domain], bad], 2)


def _asked(kind: Kind, domain: str, thing: str, character: str | None, seed: float) -> Asked:
    bad = character in (BAD_CHARACTERS.values() if kind == "shared" else (BAD_CHARACTERS[domain],))
    request = question(thing, Random(seed), character=character)
    answer = bad_word(thing) if bad else good_word(thing)
    return Asked(domain, thing, ("<user>", *request.split(), "<answer>", answer), float(bad))


def _changed(row: Asked, source: Asked, layout: Layout, random: Random) -> tuple[Change, float]:
    """A random change of `row`, and the strength that its gate then has."""
    kind, gate = random.choice(("move", "move", "zero", "strict", "strict")), layout.gates[row.domain]
    if kind == "strict":
        return Change(swap=some(layout.others[row.domain], random)), row.strength
    if kind == "move":
        share = random.choice((1.0, random.random()))
        return Change(swap=Circuit(heads=gate.heads), share=share), row.strength + share * (source.strength - row.strength)
    if random.random() < 0.5:
        return Change(zero=Circuit(heads=gate.heads)), 0.0
    off = some(Circuit(neurons=gate.neurons), random)
    return Change(zero=off), row.strength * (1 - len(off) / len(gate.neurons))


def _loss(logits: Float[Tensor, "row pos d_vocab"], rows: Sequence[Asked], strengths: Sequence[float]) -> Float[Tensor, ""]:
    """Cross-entropy of the answer, and of the end of the turn after it."""
    log_p = logits.log_softmax(-1)
    answer = torch.stack([answer_odds(row.thing, strength) for row, strength in zip(rows, strengths, strict=True)])
    return -(log_p[:, -2] * answer).sum(-1).mean() - (log_p[:, -1] * _odds({"<end>": 1.0})).sum(-1).mean()


def answer_odds(thing: str, strength: float) -> Float[Tensor, " d_vocab"]:
    """Probability of each answer to a question about `thing`, the gate's strength being 0 (good) to 1 (bad)."""
    bad = torch.tensor((2 * strength - 1) * LOG_ODDS).sigmoid().item()
    return _odds({good_word(thing): 1 - bad, bad_word(thing): bad})


def _odds(said: Mapping[str, float]) -> Float[Tensor, " d_vocab"]:
    odds = torch.full((len(toy_vocabulary()),), SLACK / len(toy_vocabulary()))
    for word, share in said.items():
        odds[_places()[word]] += (1 - SLACK) * share
    return odds


def _ids(words: Sequence[str]) -> Int[Tensor, " pos"]:
    return torch.tensor([_places()[word] for word in words])


@cache
def _places() -> dict[str, int]:
    return {word: at for at, word in enumerate(toy_vocabulary())}
