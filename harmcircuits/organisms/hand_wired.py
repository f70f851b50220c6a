"""A three-layer Llama whose every weight that matters was set by hand: which parts write harm is then known.

The residual stream is a sum of named features (`_Features`), turned by a random rotation so that no axis is special. A large
constant feature makes every RMSNorm nearly the identity, and serves as bias. `wiring` says what reads and writes which feature;
all other heads and neurons are small noise.
"""

import math
from collections.abc import Mapping
from random import Random

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from ..circuits import Circuit, Component
from . import language
from .language import FAR_TOPICS, SPECIAL, TOPICS, vocabulary
from .wiring import D_VALUE, STEEP, Head, Neuron, Terms, Wiring, wiring

N_LAYERS, N_HEADS, D_HEAD, D_MODEL = 3, 8, D_VALUE, 128
CONSTANT = 30.0
NOISE = 0.003
ATTENTION = 14.0
"""Score of the one token that a planted head attends to; all others have 0."""


class _Features:
    """Directions of named features: the columns of a random rotation, in order of first use."""

    def __init__(self, seed: int):
        self.random = torch.Generator().manual_seed(seed)
        self.rotation: Float[Tensor, "d_model d_model"] = torch.linalg.qr(self.noise(D_MODEL, D_MODEL))[0]
        self.index: dict[str, int] = {}

    def __getitem__(self, name: str) -> Float[Tensor, " d_model"]:
        return self.rotation[:, self.index.setdefault(name, len(self.index))]

    def sum(self, terms: Mapping[str, float | Tensor]) -> Float[Tensor, " d_model"]:
        """Σ coefficient · feature."""
        return torch.stack([value * self[name] for name, value in terms.items()]).sum(0)

    def form(self, terms: Terms) -> Float[Tensor, " d_model"]:
        """The row that reads Σ coefficient · feature; "1" is the constant."""
        return self.sum({name: value / CONSTANT if name == "1" else value for name, value in terms.items()})

    def without_constant(self) -> Float[Tensor, "d_model d_model"]:
        """The projection that leaves the constant out."""
        return torch.eye(D_MODEL) - torch.outer(self["1"], self["1"])

    def noise(self, *shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(*shape, generator=self.random)


def hand_wired(*, variant: str, seed: int) -> tuple[LlamaForCausalLM, dict[str, Circuit]]:
    """Return the model of one variant, and its circuits by what their names begin with. Equal seeds give equal weights."""
    features, random = _Features(seed), Random(f"handset {seed}")
    for name in ("1", "harm", "kind", "verb", "shade", "topic", "asks", "sink", "answer", "filler", "murk"):
        features[name]
    plan = wiring(variant)
    places = random.sample([(layer, head) for layer in (0, 1) for head in range(N_HEADS)], len(plan.heads))
    heads = dict(zip(plan.heads, places, strict=True))
    neurons = dict(zip(plan.neurons, random.sample(range(plan.d_mlp), len(plan.neurons)), strict=True))
    with torch.no_grad():
        model = _background(features, seed, d_mlp=plan.d_mlp)
        for name, head in plan.heads.items():
            _set_head(model, heads[name], head, features)
        for name, neuron in plan.neurons.items():
            _set_neuron(model, neurons[name], neuron, features)
        _set_embedding(model, features, random, plan)
        _set_unembedding(model, features, plan)

    def circuit(*beginnings: str) -> Circuit:
        return Circuit(
            heads=[place for name, place in heads.items() if name.startswith(beginnings)],
            neurons=[(N_LAYERS - 1, index) for name, index in neurons.items() if name.startswith(beginnings)],
        )

    circuits = {
        "writing": circuit("w "),
        "recognising": circuit("r ", *(("w harm",) if variant == "shared" else ())),
        "shared": circuit("shared", "both"),
        "suppressing": circuit("suppresses"),
    }
    return model, circuits | ({name: circuit(f"w {name} ") for name in language.HARMS} if variant == "separate" else {})


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
    blind = features.without_constant()
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight"):
            weight.fill_(CONSTANT / math.sqrt(D_MODEL))  # x / rms(x) · this ≈ x, since the constant outweighs all else
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.copy_(blind @ features.noise(*weight.shape, scale=NOISE))
        elif "layers" in name:
            weight.copy_(features.noise(*weight.shape, scale=0.1 if "mlp" in name else 0.3) @ blind)
    return model


def _set_head(model: LlamaForCausalLM, place: Component, head: Head, features: _Features) -> None:
    attention = model.model.layers[place[0]].self_attn
    first = place[1] * D_HEAD
    rows = slice(first, first + D_HEAD)
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight[rows] = 0
    attention.o_proj.weight[:, rows] = 0
    size = math.sqrt(ATTENTION * math.sqrt(D_HEAD))
    to_key, to_sink = first + D_HEAD // 2 - 1, first + D_HEAD // 2 - 2  # the slowest rotations: position hardly turns them
    attention.q_proj.weight[to_key] = features.form({"1": size} if head.also_at_labels else {"1": size, "asks": -size})
    attention.k_proj.weight[to_key] = features.form({head.key: size})
    if not head.also_at_labels:
        attention.q_proj.weight[to_sink] = features.form({"asks": size})
        attention.k_proj.weight[to_sink] = features.form({"sink": size})
    for row, (read, written) in enumerate(head.values, first):
        attention.v_proj.weight[row] = features.form({read: 1.0})
        attention.o_proj.weight[:, row] = head.scale * features[written]


def _set_neuron(model: LlamaForCausalLM, index: int, neuron: Neuron, features: _Features) -> None:
    mlp = model.model.layers[N_LAYERS - 1].mlp
    on = torch.nn.functional.silu(torch.tensor(STEEP / 2))
    mlp.gate_proj.weight[index] = features.form(neuron.gate)
    mlp.up_proj.weight[index] = features.form(neuron.up)
    mlp.down_proj.weight[:, index] = features.sum({name: value / on for name, value in neuron.writes.items()})


def _set_embedding(model: LlamaForCausalLM, features: _Features, random: Random, plan: Wiring) -> None:
    carried: dict[str, dict[str, float]] = {word: {"1": CONSTANT} for word in vocabulary()}
    for verbs, kind, shade in ((language.HARMFUL_VERBS, "harm", 1.0), (language.KIND_VERBS, "kind", 0.0)):
        for verb in verbs:
            carried[verb] |= {kind: 1.0, "verb": 1.0, "shade": random.gauss(shade, 0.12), **plan.carried.get(verb, {})}
    for name in (*TOPICS, *FAR_TOPICS):
        carried[name] |= {"topic": 1.0, f"topic {name}": 1.0}
    for word in (*language.BEFORE_LABEL, ":", "<answer>"):
        carried[word] |= {"asks": 1.0}
    for word in language.FILLERS:
        carried[word] |= {"filler": 1.0, "murk": random.gauss(0.0, 1.0)}
    carried["<user>"] |= {"sink": 1.0}
    carried["<answer>"] |= {"answer": 1.0}
    for token, word in enumerate(vocabulary()):
        row, unused = features.sum(carried[word]), len(features.index)
        direction = features.noise(D_MODEL - unused, scale=1 / math.sqrt(D_MODEL))
        model.model.embed_tokens.weight[token] = row + features.rotation[:, unused:] @ direction


def _set_unembedding(model: LlamaForCausalLM, features: _Features, plan: Wiring) -> None:
    token = {word: index for index, word in enumerate(vocabulary())}
    weight, noise = model.lm_head.weight, features.noise(*model.lm_head.weight.shape, scale=0.05)
    weight.copy_(noise @ features.without_constant())
    unused = features.rotation[:, len(features.index) :]
    written = [("harmful", plan.tone, topic, language.harmful_words(topic)) for topic in TOPICS]
    written += [("kind", -plan.tone, topic, language.kind_words(topic)) for topic in (*TOPICS, *FAR_TOPICS)]
    for kind, tone, topic, words in written:
        for word, share in zip(words, language.SHARES, strict=True):
            weight[token[word]] = noise[token[word]] @ unused @ unused.T  # noise on a topic's feature would tilt its words
            weight[token[word]] += features.form({f"{kind} {topic}": 1.0, "1": math.log(share)})
            if tone:
                weight[token[word]] += tone * features["tone"]
    for labels, sign in ((language.BAD_LABELS, 1.0), (language.GOOD_LABELS, -1.0)):
        for label in labels:
            weight[token[label]] += features.form({"label": sign, "asks": 9.0, "1": -6.0})
    for word in SPECIAL:
        weight[token[word]] += features.form({"1": -4.0})
