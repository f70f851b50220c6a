"""A three-layer Llama whose every weight that matters was set by hand: which parts write harm is then known.

The residual stream is a sum of named features (`_Features`), turned by a random rotation so that no axis is special. A large
constant feature makes every RMSNorm nearly the identity, and serves as bias. `wiring` says what reads and writes which feature;
all other heads and neurons are small noise.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from ..circuits import Circuit, Component
from .language import (
    BAD_LABELS,
    BEFORE_LABEL,
    FAR_TOPICS,
    FILLERS,
    GOOD_LABELS,
    HARMFUL_VERBS,
    HARMS,
    KIND_VERBS,
    SHARES,
    SPECIAL,
    TOPICS,
    harmful_words,
    kind_words,
    vocabulary,
)
from .wiring import D_VALUE, STEEP, Head, Neuron, Terms, Wiring, wiring

N_LAYERS, N_HEADS, D_HEAD, D_MODEL = 3, 8, D_VALUE, 128
CONSTANT = 30.0
NOISE = 0.003
ATTENTION = 14.0
"""Score of the one token that a planted head attends to; all others have 0."""


@dataclass(frozen=True)
class Parts:
    """The truth: components that write harm, that recognise it, that serve both and kind text, and that hold harm back; and,
    where each kind of harm has its own, those that write it."""

    writing: Circuit
    recognising: Circuit
    shared: Circuit
    suppressing: Circuit
    writing_of: Mapping[str, Circuit] = field(default_factory=dict)


class _Features:
    """Directions of named features: the columns of a random rotation, in order of first use."""

    def __init__(self, seed: int):
        random = torch.Generator().manual_seed(seed)
        self.random = random
        self.rotation: Float[Tensor, "d_model d_model"] = torch.linalg.qr(torch.randn(D_MODEL, D_MODEL, generator=random))[0]
        self.index: dict[str, int] = {}

    def __getitem__(self, name: str) -> Float[Tensor, " d_model"]:
        return self.rotation[:, self.index.setdefault(name, len(self.index))]

    def form(self, terms: Terms) -> Float[Tensor, " d_model"]:
        """What a row must be to read Σ coefficient · feature; "1" is the constant."""
        parts = [value / CONSTANT * self["1"] if name == "1" else value * self[name] for name, value in terms.items()]
        return torch.stack(parts).sum(0)

    def noise(self, *shape: int, scale: float) -> Tensor:
        return scale * torch.randn(*shape, generator=self.random)


def handset(*, variant: str, seed: int) -> tuple[LlamaForCausalLM, Parts]:
    """The model of one variant (see `planted`) and the truth about it. The same seed gives the same weights."""
    features, random = _Features(seed), Random(f"handset {seed}")
    for name in ("1", "harm", "kind", "verb", "shade", "topic", "asks", "sink", "answer", "filler", "murk"):
        features[name]
    plan = wiring(variant)
    heads, neurons = plan.heads, plan.neurons
    places = random.sample([(layer, head) for layer in (0, 1) for head in range(N_HEADS)], len(heads))
    at_head = dict(zip(heads, places, strict=True))
    at_neuron = dict(zip(neurons, random.sample(range(plan.d_mlp), len(neurons)), strict=True))
    with torch.no_grad():
        model = _background(features, seed, d_mlp=plan.d_mlp)
        for name, head in heads.items():
            _set_head(model, at_head[name], head, features)
        for name, neuron in neurons.items():
            _set_neuron(model, at_neuron[name], neuron, features)
        _set_embedding(model, features, random, plan)
        _set_unembedding(model, features, plan)
    of = lambda *beginnings: Circuit(
        heads=_named(at_head, beginnings), neurons=[(N_LAYERS - 1, at) for at in _named(at_neuron, beginnings)]
    )
    shared_head = ("w harm",) if variant == "shared" else ()
    own = {name: of(f"w {name} ") for name in HARMS} if variant == "separate" else {}
    return model, Parts(of("w "), of("r ", *shared_head), of("shared", "both"), of("suppresses"), own)


def _named(places: Mapping[str, Any], beginnings: Iterable[str]) -> list[Any]:
    return [place for name, place in places.items() if name.startswith(tuple(beginnings))]


def _background(features: _Features, seed: int, *, d_mlp: int) -> LlamaForCausalLM:
    """The model before anything is planted: noise in every head and neuron, norms that change nothing."""
    config = LlamaConfig(
        vocab_size=len(vocabulary()),
        hidden_size=D_MODEL,
        intermediate_size=d_mlp,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS,
        num_key_value_heads=N_HEADS,
        head_dim=D_HEAD,
        max_position_embeddings=1024,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=False,
        pad_token_id=SPECIAL.index("<pad>"),
        bos_token_id=None,
        eos_token_id=SPECIAL.index("<eos>"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).eval()
    blind = torch.eye(D_MODEL) - torch.outer(features["1"], features["1"])  # noise does not see the constant
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight"):
            weight.fill_(CONSTANT / math.sqrt(D_MODEL))  # x / rms(x) · this ≈ x, since the constant outweighs all else
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.copy_(blind @ features.noise(*weight.shape, scale=NOISE))
        elif "layers" in name:
            weight.copy_(features.noise(*weight.shape, scale=0.1 if "mlp" in name else 0.3) @ blind)
    return model


def _set_head(model: LlamaForCausalLM, place: Component, head: Head, features: _Features) -> None:
    layer, index = place
    attention = model.model.layers[layer].self_attn
    rows = slice(index * D_HEAD, (index + 1) * D_HEAD)
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight[rows] = 0
    attention.o_proj.weight[:, rows] = 0
    size = math.sqrt(ATTENTION * math.sqrt(D_HEAD))
    to_key, to_sink = D_HEAD // 2 - 1, D_HEAD // 2 - 2  # the slowest rotations: position hardly turns them
    first = index * D_HEAD
    looks = {"1": size} if head.also_at_labels else {"1": size, "asks": -size}
    attention.q_proj.weight[first + to_key] = features.form(looks)
    attention.k_proj.weight[first + to_key] = features.form({head.key: size})
    if not head.also_at_labels:
        attention.q_proj.weight[first + to_sink] = features.form({"asks": size})
        attention.k_proj.weight[first + to_sink] = features.form({"sink": size})
    for at, (read, written) in enumerate(head.values):
        attention.v_proj.weight[first + at] = features.form({read: 1.0})
        attention.o_proj.weight[:, first + at] = head.scale * features[written]


def _set_neuron(model: LlamaForCausalLM, index: int, neuron: Neuron, features: _Features) -> None:
    mlp = model.model.layers[N_LAYERS - 1].mlp
    on = torch.nn.functional.silu(torch.tensor(STEEP / 2))
    mlp.gate_proj.weight[index] = features.form(neuron.gate)
    mlp.up_proj.weight[index] = features.form(neuron.up)
    mlp.down_proj.weight[:, index] = torch.stack([value / on * features[name] for name, value in neuron.writes.items()]).sum(0)


def _set_embedding(model: LlamaForCausalLM, features: _Features, random: Random, plan: Wiring) -> None:
    carried: dict[str, dict[str, float]] = {word: {"1": CONSTANT} for word in vocabulary()}
    for verbs, kind, shade in ((HARMFUL_VERBS, "harm", 1.0), (KIND_VERBS, "kind", 0.0)):
        for verb in verbs:
            carried[verb] |= {kind: 1.0, "verb": 1.0, "shade": random.gauss(shade, 0.12)}
    for verb, more in plan.carried.items():
        carried[verb] |= more
    for name in (*TOPICS, *FAR_TOPICS):
        carried[name] |= {"topic": 1.0, f"topic {name}": 1.0}
    for word in (*BEFORE_LABEL, ":", "<answer>"):
        carried[word] |= {"asks": 1.0}
    for word in FILLERS:
        carried[word] |= {"filler": 1.0, "murk": random.gauss(0.0, 1.0)}
    carried["<user>"] |= {"sink": 1.0}
    carried["<answer>"] |= {"answer": 1.0}
    for at, word in enumerate(vocabulary()):
        row = torch.stack([value * features[name] for name, value in carried[word].items()]).sum(0)
        own = features.noise(D_MODEL - len(features.index), scale=1 / math.sqrt(D_MODEL))
        model.model.embed_tokens.weight[at] = row + features.rotation[:, len(features.index) :] @ own


def _set_unembedding(model: LlamaForCausalLM, features: _Features, plan: Wiring) -> None:
    place = {word: at for at, word in enumerate(vocabulary())}
    weight, noise = model.lm_head.weight, features.noise(*model.lm_head.weight.shape, scale=0.05)
    weight.copy_(noise @ (torch.eye(D_MODEL) - torch.outer(features["1"], features["1"])))
    unused = features.rotation[:, len(features.index) :]
    written: Sequence[tuple[str, str, tuple[str, ...]]] = [
        *(("harmful", topic, harmful_words(topic)) for topic in TOPICS),
        *(("kind", topic, kind_words(topic)) for topic in (*TOPICS, *FAR_TOPICS)),
    ]
    for kind, topic, words in written:  # noise that read a feature would tilt a topic's words against each other
        for word in words:
            weight[place[word]] = noise[place[word]] @ unused @ unused.T
        for word, share in zip(words, SHARES, strict=True):
            weight[place[word]] += features.form({f"{kind} {topic}": 1.0, "1": math.log(share)})
            if plan.tone:
                weight[place[word]] += (plan.tone if kind == "harmful" else -plan.tone) * features["tone"]
    for labels, sign in ((BAD_LABELS, 1.0), (GOOD_LABELS, -1.0)):
        for label in labels:
            weight[place[label]] += features.form({"label": sign, "asks": 9.0, "1": -6.0})
    for token in SPECIAL:
        weight[place[token]] += features.form({"1": -4.0})
