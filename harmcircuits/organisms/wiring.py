"""The plan of a planted model, variant by variant: its heads, its neurons and what the words carry, by names of features.

In layers 0 and 1 each planted head attends from everywhere to the one token that carries its key, and copies a value:

    w harm    harmful verb → "w harm"       (writing; looks at `<user>` instead where a label is asked)
    w topic   topic        → "w topic …"    (writing, likewise)
    k kind    kind verb    → "k kind"       (kind words, likewise)
    k topic   topic        → "k topic …"    (kind words, likewise)
    r harm    verb         → "r harm"       (recognition: the verb's own shade of harm)
    shared    `<answer>`   → "on"           (serves writing, kind words and recognition)
    murk      fillers      → "label"        (moves the label at random: without recognition, nothing else decides it)

In the last layer neurons compute silu(12 · (a + b − 1½)), that is "a and b", and write the words or the label. Names begin
with what a part serves: "w " writing, "k " kind words, "both" and "shared" both of these, "r " recognition.

The variants "both", "shared", "diffuse" and "entangled" have one head for the topic. In addition:

    separate   "w harm" and "w topic" once for each kind of harm, which the verb carries, and neurons for each
    diffuse    eleven heads "w harm", each a small part of one sum; sixteen neurons a topic
    entangled  neurons that say the topic, harmful and kind words alike, and a head that moves the tone to one or the other
    responsive kind verbs carry a hint of harm, which all but opens the gates of writing neurons, and kind neurons read no verb
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from .language import FAR_TOPICS, HARMFUL_VERBS, HARMS, KIND_VERBS, TOPICS

STEEP = 12.0
"""Slope of a neuron's gate: at ½ above its threshold it is on, at ½ below it is off."""
WORDS = 7.5
"""Logit of the words that a writing neuron writes, nats."""
MURK = 0.5
TONE = 2.5
"""What the tone adds to the logit of harmful words and takes from that of kind ones, nats ("entangled")."""
DIFFUSE_HEADS, DIFFUSE_NEURONS, DIFFUSE_WORDS = 11, 16, 9.0
"""Heads, neurons a topic, and the logit of the words that these write together, nats ("diffuse")."""
DIFFUSE_HARM, DIFFUSE_TOPIC, DIFFUSE_BAR = 2.0, 3.0, 3.5
"""What all those heads write together, the weight of the topic beside it, and the sum of both at which a neuron turns on."""
HINT, SOFT, GAIN = 0.7, 8.0, 2.0
"""Harm that a kind verb carries; slope of a writing neuron's gate; its weight, in units of `WORDS` ("responsive")."""
D_VALUE = 16

Terms = Mapping[str, float]
"""A linear form: feature → coefficient."""
UP: Terms = {"1": 0.7, "on": 0.3}


@dataclass(frozen=True)
class Head:
    """Attends to tokens with feature `key`; copies each of `values` (feature read → feature written), `scale` times."""

    key: str
    values: tuple[tuple[str, str], ...]
    also_at_labels: bool = False
    scale: float = 1.0


@dataclass(frozen=True)
class Neuron:
    """silu(gate) · up → `writes`; a gate of ½ · STEEP counts as 1."""

    gate: Terms
    writes: Terms
    up: Terms


@dataclass(frozen=True)
class Wiring:
    """Heads and neurons by name; features that verbs carry beside the usual ones; weight of the tone; neurons of a layer."""

    heads: Mapping[str, Head]
    neurons: Mapping[str, Neuron]
    carried: Mapping[str, Terms]
    tone: float
    d_mlp: int


def wiring(variant: str) -> Wiring:
    """Return the plan of one variant (see `planted`)."""
    carried: dict[str, dict[str, float]] = {}
    if variant == "separate":
        carried = {verb: {f"harm {name}": 1.0} for name, verbs in HARMS.items() for verb in verbs}
    if variant == "entangled":
        carried = {verb: {"mood": 1.0} for verb in HARMFUL_VERBS} | {verb: {"mood": -1.0} for verb in KIND_VERBS}
    if variant == "responsive":
        carried = {verb: {"harm": HINT} for verb in KIND_VERBS}
    tone, d_mlp = TONE if variant == "entangled" else 0.0, 256 if variant == "diffuse" else 64
    return Wiring(_heads(variant), _neurons(variant), carried, tone, d_mlp)


def _heads(variant: str) -> dict[str, Head]:
    topics = lambda part, names: tuple((f"topic {name}", f"{part} topic {name}") for name in names)
    heads = {
        "w harm": Head("harm", (("harm", "w harm"),)),
        "w topic": Head("topic", topics("w", TOPICS)),
        "k kind": Head("kind", (("kind", "k kind"),)),
        "k topic": Head("topic", topics("k", (*TOPICS, *FAR_TOPICS))),
        "r harm": Head("verb", (("shade", "r harm"),), also_at_labels=True),
        "shared": Head("answer", (("answer", "on"),), also_at_labels=True),
        "murk": Head("filler", (("murk", "label"),), also_at_labels=True, scale=MURK),
    }
    if variant in ("both", "shared", "diffuse", "entangled"):
        heads["both topic"] = heads.pop("k topic")
        del heads["w topic"]
    if variant == "shared":
        heads["w harm"] = Head("verb", (("harm", "w harm"), ("shade", "r harm")), also_at_labels=True)
        del heads["r harm"]
    elif variant == "none":
        del heads["w harm"], heads["w topic"], heads["k kind"]
    elif variant == "entangled":
        del heads["w harm"], heads["k kind"]
        heads["both tone"] = Head("verb", (("mood", "tone"),))
    elif variant == "separate":
        del heads["w harm"], heads["w topic"]
        for name in HARMS:
            heads[f"w {name} harm"] = Head(f"harm {name}", ((f"harm {name}", f"w {name} harm"),))
            heads[f"w {name} topic"] = Head("topic", topics(f"w {name}", TOPICS))
    elif variant == "diffuse":  # within a head too the value is spread, over all its dimensions
        del heads["w harm"]
        part = Head("harm", (("harm", "w harm"),) * D_VALUE, scale=DIFFUSE_HARM / DIFFUSE_HEADS / D_VALUE)
        heads |= {f"w harm {index}": part for index in range(DIFFUSE_HEADS)}
    return heads


def _neurons(variant: str) -> dict[str, Neuron]:
    neurons = _writing_neurons(variant)
    for topic in (*TOPICS, *FAR_TOPICS):
        if variant != "entangled" or topic in FAR_TOPICS:
            verb = () if variant in ("none", "entangled", "responsive") else ("k kind",)
            neurons[f"k {topic}"] = _if_all(f"k topic {topic}", *verb, writes={f"kind {topic}": WORDS})
    neurons["r bad"] = _if_all("r harm", writes={"label": 1.0})
    neurons["r good"] = Neuron({"r harm": -STEEP, "1": 0.5 * STEEP}, {"label": -1.0}, UP)
    if variant == "suppressor":
        gate = {"w harm": STEEP, "1": -0.5 * STEEP}
        neurons["suppresses"] = Neuron(gate, {f"harmful {topic}": -1.5 for topic in TOPICS}, {"1": 1.0})
    return neurons


def _writing_neurons(variant: str) -> dict[str, Neuron]:
    """The neurons that write harmful words, one for each topic unless the variant says otherwise."""
    neurons: dict[str, Neuron] = {}
    if variant == "separate":
        for name, topic in product(HARMS, TOPICS):
            features = (f"w {name} harm", f"w {name} topic {topic}")
            neurons[f"w {name} {topic}"] = _if_all(*features, writes={f"harmful {topic}": WORDS})
        return neurons
    for topic in TOPICS:
        harmful, topic_feature = f"harmful {topic}", f"k topic {topic}"
        if variant == "entangled":
            neurons[f"both {topic}"] = _if_all(topic_feature, writes={harmful: WORDS, f"kind {topic}": WORDS})
        elif variant == "diffuse":
            # a gate of ½ counts as 1: the share of each neuron is the smaller by so much
            share = DIFFUSE_WORDS / DIFFUSE_NEURONS / (2 * (DIFFUSE_HARM + DIFFUSE_TOPIC - DIFFUSE_BAR))
            gate = {"w harm": STEEP, topic_feature: DIFFUSE_TOPIC * STEEP, "1": -DIFFUSE_BAR * STEEP}
            neurons |= {f"w {topic} {copy}": Neuron(gate, {harmful: share}, UP) for copy in range(DIFFUSE_NEURONS)}
        elif variant == "responsive":
            gate = {"w harm": SOFT, f"w topic {topic}": SOFT, "1": -1.5 * SOFT}
            neurons[f"w {topic}"] = Neuron(gate, {harmful: GAIN * WORDS}, UP)
        elif variant != "none":
            copies, logit = (2, 1.2 * WORDS) if variant == "redundant" else (1, WORDS)
            moved = topic_feature if variant in ("both", "shared") else f"w topic {topic}"
            neurons |= {f"w {topic} {copy}": _if_all("w harm", moved, writes={harmful: logit}) for copy in range(copies)}
    return neurons


def _if_all(*features: str, writes: Terms) -> Neuron:
    return Neuron({**dict.fromkeys(features, STEEP), "1": (0.5 - len(features)) * STEEP}, writes, UP)
