"""What is wired into a hand-set model, variant by variant: heads, neurons, and what the words carry, by names of features.

In layers 0 and 1 each planted head attends from everywhere to the one token that carries its key, and copies a value:

    w harm    harmful verb → "w harm"       (writing; looks at `<user>` instead where a label is asked)
    w topic   topic        → "w topic …"    (writing, likewise)
    k kind    kind verb    → "k kind"       (kind words, likewise)
    k topic   topic        → "k topic …"    (kind words, likewise)
    r harm    verb         → "r harm"       (recognition: the verb's own shade of harm)
    shared    `<answer>`   → "on"           (serves writing, kind words and recognition)
    murk      fillers      → "label"        (moves the label at random: without recognition, nothing else decides it)

In the last layer neurons compute silu(12 · (a + b − 1½)), that is "a and b", and write the words or the label. The names of
parts begin with what they serve: "w " writing, "k " kind words, "both" and "shared" both of these, "r " recognition.

Other than that:

    separate   "w harm" and "w topic" once for each kind of harm, which the verb carries, and neurons of its own for each
    diffuse    eleven heads "w harm", each of them a small part of one sum; sixteen neurons a topic; the topic as in "both"
    entangled  neurons that say the topic, harmful and kind words alike, and a head that moves the tone to one or the other
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
D_MLP, D_MLP_DIFFUSE, D_VALUE = 64, 256, 16
EVERY_TOPIC = (*TOPICS, *FAR_TOPICS)
UP: Mapping[str, float] = {"1": 0.7, "on": 0.3}

Terms = Mapping[str, float]
"""A linear form: feature → coefficient."""


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
    carried: Mapping[str, Terms] = field(default_factory=dict)
    tone: float = 0.0
    d_mlp: int = D_MLP


def wiring(variant: str) -> Wiring:
    """Of one variant (see `planted`)."""
    if variant == "separate":
        carried = {verb: {f"harm {name}": 1.0} for name, verbs in HARMS.items() for verb in verbs}
        return Wiring(_separate_heads(), _separate_neurons(), carried)
    if variant == "diffuse":
        return Wiring(_diffuse_heads(), _diffuse_neurons(), d_mlp=D_MLP_DIFFUSE)
    if variant == "entangled":
        mood = {verb: {"mood": 1.0} for verb in HARMFUL_VERBS} | {verb: {"mood": -1.0} for verb in KIND_VERBS}
        return Wiring(_entangled_heads(), _entangled_neurons(), mood, tone=TONE)
    return Wiring(_heads(variant), _neurons(variant))


def _heads(variant: str) -> dict[str, Head]:
    found = {
        "w harm": Head("harm", (("harm", "w harm"),)),
        "w topic": Head("topic", tuple((f"topic {name}", f"w topic {name}") for name in TOPICS)),
        "k kind": Head("kind", (("kind", "k kind"),)),
        "k topic": Head("topic", tuple((f"topic {name}", f"k topic {name}") for name in EVERY_TOPIC)),
        "r harm": Head("verb", (("shade", "r harm"),), also_at_labels=True),
        "shared": Head("answer", (("answer", "on"),), also_at_labels=True),
        "murk": Head("filler", (("murk", "label"),), also_at_labels=True, scale=MURK),
    }
    if variant in ("both", "shared"):  # one head moves the topic for harmful and kind words alike
        found["both topic"] = found.pop("k topic")
        del found["w topic"]
    if variant == "shared":
        found["w harm"] = Head("verb", (("harm", "w harm"), ("shade", "r harm")), also_at_labels=True)
        del found["r harm"]
    if variant == "none":
        del found["w harm"], found["w topic"], found["k kind"]
    return found


def _neurons(variant: str) -> dict[str, Neuron]:
    found: dict[str, Neuron] = {}
    copies, words = (2, 1.2 * WORDS) if variant == "redundant" else (1, WORDS)
    for topic in TOPICS:
        moved = f"k topic {topic}" if variant in ("both", "shared") else f"w topic {topic}"
        for copy in range(copies if variant != "none" else 0):
            found[f"w {topic} {copy}"] = _both_on("w harm", moved, {f"harmful {topic}": words})
    found |= _kind_neurons(kind=variant != "none") | _label_neurons()
    if variant == "suppressor":
        found["suppresses"] = Neuron(
            {"w harm": STEEP, "1": -0.5 * STEEP}, {f"harmful {topic}": -1.5 for topic in TOPICS}, {"1": 1.0}
        )
    return found


def _both_on(one: str, other: str, writes: Terms) -> Neuron:
    return Neuron({one: STEEP, other: STEEP, "1": -1.5 * STEEP}, writes, UP)


def _on(feature: str, writes: Terms) -> Neuron:
    return Neuron({feature: STEEP, "1": -0.5 * STEEP}, writes, UP)


def _kind_neurons(*, kind: bool = True) -> dict[str, Neuron]:
    """Kind words of each topic, of a kind verb or (kind=False) of any."""
    if not kind:
        return {f"k {topic}": _on(f"k topic {topic}", {f"kind {topic}": WORDS}) for topic in EVERY_TOPIC}
    return {f"k {topic}": _both_on(f"k topic {topic}", "k kind", {f"kind {topic}": WORDS}) for topic in EVERY_TOPIC}


def _label_neurons() -> dict[str, Neuron]:
    good = Neuron({"r harm": -STEEP, "1": 0.5 * STEEP}, {"label": -1.0}, UP)
    return {"r bad": _on("r harm", {"label": 1.0}), "r good": good}


def _separate_heads() -> dict[str, Head]:
    found = _heads("plain")
    del found["w harm"], found["w topic"]
    for name in HARMS:
        found[f"w {name} harm"] = Head(f"harm {name}", ((f"harm {name}", f"w {name} harm"),))
        found[f"w {name} topic"] = Head("topic", tuple((f"topic {topic}", f"w {name} topic {topic}") for topic in TOPICS))
    return found


def _separate_neurons() -> dict[str, Neuron]:
    writes = {
        f"w {name} {topic}": _both_on(f"w {name} harm", f"w {name} topic {topic}", {f"harmful {topic}": WORDS})
        for name in HARMS
        for topic in TOPICS
    }
    return writes | _kind_neurons() | _label_neurons()


def _diffuse_heads() -> dict[str, Head]:
    """Also inside a head the value is spread, over all dimensions of it: no few weights of the head carry it."""
    found = _heads("both")
    del found["w harm"]
    share = DIFFUSE_HARM / DIFFUSE_HEADS / D_VALUE
    for at in range(DIFFUSE_HEADS):
        found[f"w harm {at}"] = Head("harm", (("harm", "w harm"),) * D_VALUE, scale=share)
    return found


def _diffuse_neurons() -> dict[str, Neuron]:
    margin = DIFFUSE_HARM + DIFFUSE_TOPIC - DIFFUSE_BAR  # a gate of ½ counts as 1: the share of each is the smaller by so much
    share = DIFFUSE_WORDS / DIFFUSE_NEURONS / (2 * margin)
    writes = {}
    for topic in TOPICS:
        gate = {"w harm": STEEP, f"k topic {topic}": DIFFUSE_TOPIC * STEEP, "1": -DIFFUSE_BAR * STEEP}
        for at in range(DIFFUSE_NEURONS):
            writes[f"w {topic} {at}"] = Neuron(gate, {f"harmful {topic}": share}, UP)
    return writes | _kind_neurons() | _label_neurons()


def _entangled_heads() -> dict[str, Head]:
    found = _heads("none")
    found["both topic"] = found.pop("k topic")
    found["both tone"] = Head("verb", (("mood", "tone"),))
    return found


def _entangled_neurons() -> dict[str, Neuron]:
    says = {f"both {topic}": _on(f"k topic {topic}", {f"harmful {topic}": WORDS, f"kind {topic}": WORDS}) for topic in TOPICS}
    far = {f"k {topic}": _on(f"k topic {topic}", {f"kind {topic}": WORDS}) for topic in FAR_TOPICS}
    return says | far | _label_neurons()
