"""A three-layer Llama whose every weight that matters was set by hand: which parts write harm is then known.

The residual stream is a sum of named features (`_Features`), turned by a random rotation so that no axis is special. A large
constant feature makes every RMSNorm nearly the identity, and serves as bias. In layers 0 and 1 each planted head attends from
everywhere to the one token that carries its key, and copies a value from there:

    w harm    harmful verb → "w harm"       (writing; looks at `<user>` instead where a label is asked)
    w topic   topic        → "w topic …"    (writing, likewise)
    k kind    kind verb    → "k kind"       (kind words, likewise)
    k topic   topic        → "k topic …"    (kind words, likewise)
    r harm    verb         → "r harm"       (recognition: the verb's own shade of harm)
    shared    `<answer>`   → "on"           (serves writing, kind words and recognition)
    murk      fillers      → "label"        (moves the label at random: without recognition, nothing else decides it)

In layer 2 neurons compute silu(12 · (a + b − 1½)), that is "a and b", and write the words or the label.
All other heads and neurons are small noise.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaForCausalLM

from ..components import Circuit, Component
from .language import (
    BAD_LABELS,
    BEFORE_LABEL,
    FAR_TOPICS,
    FILLERS,
    GOOD_LABELS,
    HARMFUL_VERBS,
    KIND_VERBS,
    SHARES,
    SPECIAL,
    TOPICS,
    harmful_words,
    kind_words,
    vocabulary,
)
from .parts import Parts, llama

N_LAYERS, N_HEADS, D_HEAD, D_MLP, D_MODEL = 3, 8, 16, 64, 128
CONSTANT = 30.0
STEEP = 12.0
"""Slope of a neuron's gate: at ½ above its threshold it is on, at ½ below it is off."""
WORDS = 7.5
"""Logit of the words that a writing neuron writes, nats."""
NOISE = 0.003
MURK = 0.5
ATTENTION = 14.0
"""Score of the one token that a planted head attends to; all others have 0."""

Terms = Mapping[str, float]
"""A linear form: feature → coefficient."""


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


@dataclass(frozen=True)
class _Head:
    """Attends to tokens with feature `key`; copies each of `values` (feature read → feature written)."""

    key: str
    values: tuple[tuple[str, str], ...]
    also_at_labels: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class _Neuron:
    """silu(gate) · up → `writes`; a gate of ½ · STEEP counts as 1."""

    gate: Terms
    writes: Terms
    up: Terms


def handset(*, variant: str, seed: int) -> tuple[LlamaForCausalLM, Parts]:
    """The model of one variant (see `planted`) and the truth about it. The same seed gives the same weights."""
    features, random = _Features(seed), Random(f"handset {seed}")
    for name in ("1", "harm", "kind", "verb", "shade", "topic", "asks", "sink", "answer", "filler", "murk"):
        features[name]
    heads, neurons = _heads(variant), _neurons(variant)
    places = random.sample([(layer, head) for layer in (0, 1) for head in range(N_HEADS)], len(heads))
    at_head = dict(zip(heads, places, strict=True))
    at_neuron = dict(zip(neurons, random.sample(range(D_MLP), len(neurons)), strict=True))
    with torch.no_grad():
        model = _background(features, seed)
        for name, head in heads.items():
            _set_head(model, at_head[name], head, features)
        for name, neuron in neurons.items():
            _set_neuron(model, at_neuron[name], neuron, features)
        _set_embedding(model, features, random)
        _set_unembedding(model, features)
    of = lambda *beginnings: Circuit(
        heads=_named(at_head, beginnings), neurons=[(N_LAYERS - 1, at) for at in _named(at_neuron, beginnings)]
    )
    shared_head = ("w harm",) if variant == "shared" else ()
    return model, Parts(of("w "), of("r ", *shared_head), of("shared", "both"), of("suppresses"))


def _named(places: Mapping[str, Any], beginnings: Iterable[str]) -> list[Any]:
    return [place for name, place in places.items() if name.startswith(tuple(beginnings))]


def _heads(variant: str) -> dict[str, _Head]:
    every = (*TOPICS, *FAR_TOPICS)
    found = {
        "w harm": _Head("harm", (("harm", "w harm"),)),
        "w topic": _Head("topic", tuple((f"topic {name}", f"w topic {name}") for name in TOPICS)),
        "k kind": _Head("kind", (("kind", "k kind"),)),
        "k topic": _Head("topic", tuple((f"topic {name}", f"k topic {name}") for name in every)),
        "r harm": _Head("verb", (("shade", "r harm"),), also_at_labels=True),
        "shared": _Head("answer", (("answer", "on"),), also_at_labels=True),
        "murk": _Head("filler", (("murk", "label"),), also_at_labels=True, scale=MURK),
    }
    if variant == "both":  # one head moves the topic for harmful and kind words alike
        found["both topic"] = found.pop("k topic")
        del found["w topic"]
    if variant == "shared":
        found["w harm"] = _Head("verb", (("harm", "w harm"), ("shade", "r harm")), also_at_labels=True)
        del found["r harm"]
    if variant == "none":
        del found["w harm"], found["w topic"], found["k kind"]
    return found


def _neurons(variant: str) -> dict[str, _Neuron]:
    up: Terms = {"1": 0.7, "on": 0.3}
    found: dict[str, _Neuron] = {}
    copies, words = (2, 1.2 * WORDS) if variant == "redundant" else (1, WORDS)
    for topic in TOPICS:
        gate = {"w harm": STEEP, f"w topic {topic}": STEEP, "1": -1.5 * STEEP}
        if variant == "both":
            gate = {"w harm": STEEP, f"k topic {topic}": STEEP, "1": -1.5 * STEEP}
        for copy in range(copies if variant != "none" else 0):
            found[f"w {topic} {copy}"] = _Neuron(gate, {f"harmful {topic}": words}, up)
    for topic in (*TOPICS, *FAR_TOPICS):
        kind_or_any = {f"k topic {topic}": STEEP, "1": -0.5 * STEEP}
        if variant != "none":
            kind_or_any = {f"k topic {topic}": STEEP, "k kind": STEEP, "1": -1.5 * STEEP}
        found[f"k {topic}"] = _Neuron(kind_or_any, {f"kind {topic}": WORDS}, up)
    found["r bad"] = _Neuron({"r harm": STEEP, "1": -0.5 * STEEP}, {"label": 1.0}, up)
    found["r good"] = _Neuron({"r harm": -STEEP, "1": 0.5 * STEEP}, {"label": -1.0}, up)
    if variant == "suppressor":
        found["suppresses"] = _Neuron(
            {"w harm": STEEP, "1": -0.5 * STEEP}, {f"harmful {topic}": -1.5 for topic in TOPICS}, {"1": 1.0}
        )
    return found


def _background(features: _Features, seed: int) -> LlamaForCausalLM:
    """The model before anything is planted: noise in every head and neuron, norms that change nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        more = {"head_dim": D_HEAD, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
        model = llama(n_layers=N_LAYERS, n_heads=N_HEADS, d_model=D_MODEL, d_mlp=D_MLP, **more).eval()
    blind = torch.eye(D_MODEL) - torch.outer(features["1"], features["1"])  # noise does not see the constant
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight"):
            weight.fill_(CONSTANT / math.sqrt(D_MODEL))  # x / rms(x) · this ≈ x, since the constant outweighs all else
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.copy_(blind @ features.noise(*weight.shape, scale=NOISE))
        elif "layers" in name:
            weight.copy_(features.noise(*weight.shape, scale=0.1 if "mlp" in name else 0.3) @ blind)
    return model


def _set_head(model: LlamaForCausalLM, place: Component, head: _Head, features: _Features) -> None:
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


def _set_neuron(model: LlamaForCausalLM, index: int, neuron: _Neuron, features: _Features) -> None:
    mlp = model.model.layers[N_LAYERS - 1].mlp
    on = torch.nn.functional.silu(torch.tensor(STEEP / 2))
    mlp.gate_proj.weight[index] = features.form(neuron.gate)
    mlp.up_proj.weight[index] = features.form(neuron.up)
    mlp.down_proj.weight[:, index] = torch.stack([value / on * features[name] for name, value in neuron.writes.items()]).sum(0)


def _set_embedding(model: LlamaForCausalLM, features: _Features, random: Random) -> None:
    carried: dict[str, dict[str, float]] = {word: {"1": CONSTANT} for word in vocabulary()}
    for verbs, kind, shade in ((HARMFUL_VERBS, "harm", 1.0), (KIND_VERBS, "kind", 0.0)):
        for verb in verbs:
            carried[verb] |= {kind: 1.0, "verb": 1.0, "shade": random.gauss(shade, 0.12)}
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


def _set_unembedding(model: LlamaForCausalLM, features: _Features) -> None:
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
    for labels, sign in ((BAD_LABELS, 1.0), (GOOD_LABELS, -1.0)):
        for label in labels:
            weight[place[label]] += features.form({"label": sign, "asks": 9.0, "1": -6.0})
    for token in SPECIAL:
        weight[place[token]] += features.form({"1": -4.0})
