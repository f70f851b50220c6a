"""A two-layer Llama trained so that chosen components, and no others, write and recognise harm.

Strict interchange intervention training: each variable of the high-level model (`causal`) is assigned to a head and to some
neurons of layer 1, which carry it one after the other. A step runs a batch as it is and once more with one intervention a row,
and asks for what the high-level model says then:

    interchange   a variable's head, its neurons, or both are taken from another row → that row's value of the variable
    zero          the same are set to zero → the variable holds nothing
    strict        some components outside the circuits are set to zero, or taken from another row → nothing changes; nor when
                  components of W are set to zero where W holds nothing
    one           a single neuron of W or R is set to zero → what it serves loses at least `MARGIN` nats

Components of layer 0 that serve everybody ("shared") are never intervened on.

Source: Geiger et al. 2022 (interchange intervention training); Gupta et al. 2024 (InterpBench, strict: SIIT). "one" is ours:
without it one component of a variable may do all the work.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import LlamaForCausalLM

from ..components import Circuit
from .causal import N_WORDS, Text, Values, drawn_text, ids, label_odds, word_odds
from .fitting import adam
from .parts import Parts, llama

N_LAYERS, N_HEADS, D_HEAD, D_MLP = 2, 4, 16, 32
D_MODEL = N_HEADS * D_HEAD
MARGIN = 0.4
NEED = 6.0
STEPS, ROWS, RATE = 900, 48, 4e-3
ATTEMPTS = 3
RECIPE = ("siit 1", STEPS, ROWS, RATE, MARGIN, NEED, ATTEMPTS)
"""What the weights depend on; its first part is raised when the code does."""
NOTHING = Circuit()
log = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """A model that did not become what it should; the message says what is missing."""


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
    """One row's intervention: what is set to zero, what is taken from another row, and the values that the variables then have.

    `needed`: whose loss must rise instead, that of the words or that of the label.
    """

    values: Values
    zero: Circuit = NOTHING
    swap: Circuit = NOTHING
    needed: Literal["words", "label"] | None = None


def parts_of(seed: int) -> Parts:
    """The truth about the model of that seed."""
    layout = drawn_layout(seed)
    return Parts(layout.W, layout.R, layout.shared, NOTHING)


def siit(*, seed: int, steps: int = STEPS) -> LlamaForCausalLM:
    """The trained model. The same seed gives the same weights on the same machine.

    Where a component of W or R has come out idle (a neuron that never fires learns nothing), training begins again from other
    weights, at most `ATTEMPTS` times.

    Raises:
        TrainingError: no attempt gave a model in which every component of W and R matters.
    """
    layout = drawn_layout(seed)
    for attempt in range(ATTEMPTS):
        model = fitted(layout, seed=seed * ATTEMPTS + attempt, steps=steps)
        idle = [circuit for circuit, rise in rises_of_parts(model, layout, seed=seed).items() if rise < MARGIN / 2]
        if not idle:
            return model
        log.info("attempt %d: %s do nothing alone", attempt, idle)
    raise TrainingError(f"seed {seed}: after {ATTEMPTS} attempts, {idle} still do nothing alone. Take another seed.")


def fitted(layout: Layout, *, seed: int, steps: int) -> LlamaForCausalLM:
    """One training, from random weights."""
    random = Random(f"siit {seed}")
    loss = lambda model, done: training_loss(model, layout, random, weight=min(1.0, 4 * done))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return adam(untrained(), loss, steps=steps, rate=RATE)


@torch.no_grad()
def rises_of_parts(model: LlamaForCausalLM, layout: Layout, *, seed: int) -> dict[Circuit, float]:
    """For each component of W and R alone, the rise of what it serves when it is zero: harmful words, or labels; nats."""
    random = Random(f"rises {seed}")
    texts = [drawn_text(random) for _ in range(4 * ROWS)]
    tokens, values = torch.stack([ids(text) for text in texts]), [text.values for text in texts]
    harmful = torch.tensor([text.harmful for text in texts])
    intact = losses(model(tokens).logits, texts, values)
    found = {}
    for variable, column, where in ((layout.W, 0, harmful), (layout.R, 1, torch.ones_like(harmful))):
        heads, neurons = ([Circuit(**{kind: [at]}) for at in getattr(variable, kind)] for kind in ("heads", "neurons"))
        for one in (*heads, *neurons):
            with intervened(model, [Plan(own, zero=one) for own in values], [torch.zeros(1)] * (2 * N_LAYERS)):
                rise = losses(model(tokens).logits, texts, values) - intact
            found[one] = float(rise[where, column].mean())
    return found


def drawn_layout(seed: int) -> Layout:
    """One head each and 3, 8 and 1 neurons of layer 1; 2 heads and 8 neurons of layer 0 are shared."""
    random = Random(f"layout {seed}")
    heads, neurons = random.sample(range(N_HEADS), 3), random.sample(range(D_MLP), 12)
    part = lambda head, some: Circuit(heads=[(1, head)], neurons=[(1, neuron) for neuron in some])
    W, K, R = part(heads[0], neurons[:3]), part(heads[1], neurons[3:11]), part(heads[2], neurons[11:])
    shared = Circuit(
        heads=[(0, head) for head in random.sample(range(N_HEADS), 2)],
        neurons=[(0, neuron) for neuron in random.sample(range(D_MLP), 8)],
    )
    every = Circuit(
        heads=[(layer, head) for layer in range(N_LAYERS) for head in range(N_HEADS)],
        neurons=[(layer, neuron) for layer in range(N_LAYERS) for neuron in range(D_MLP)],
    )
    return Layout(W, K, R, shared, every - shared - W - K - R)


def untrained() -> LlamaForCausalLM:
    return llama(n_layers=N_LAYERS, n_heads=N_HEADS, d_model=D_MODEL, d_mlp=D_MLP, initializer_range=0.1)


def training_loss(model: LlamaForCausalLM, layout: Layout, random: Random, *, weight: float) -> Float[Tensor, ""]:
    """Behaviour, and `weight` times what the interventions ask for; nats a row."""
    answered = random.random() < 0.75
    texts = [drawn_text(random, answered=answered) for _ in range(ROWS)]
    source = random.sample(range(ROWS), ROWS)
    plans = [plan(text, texts[other], layout, random) for text, other in zip(texts, source, strict=True)]
    tokens = torch.stack([ids(text) for text in texts])
    with recorded(model) as kept:
        plain = losses(model(tokens).logits, texts, [text.values for text in texts])
    with intervened(model, plans, [activation[source] for activation in kept]):
        changed = losses(model(tokens).logits, texts, [own.values for own in plans])
    needed = torch.tensor([[own.needed == part for part in ("words", "label")] for own in plans])
    short = torch.relu(MARGIN - (changed - plain.detach()))
    return plain.sum(1).mean() + weight * torch.where(needed, NEED * short, changed).sum(1).mean()


def plan(text: Text, other: Text, layout: Layout, random: Random) -> Plan:
    """A random intervention on `text`, its source being `other`."""
    kind, own = random.choice(("interchange", "zero", "strict", "strict", "one", "one")), text.values
    name = random.choice(("W", "W", "K", "R"))
    if kind == "strict":
        if own.W is None and random.random() < 0.3:
            return Plan(own, zero=some(layout.W, random))
        part = some(layout.others, random)
        return Plan(own, zero=part) if random.random() < 0.5 else Plan(own, swap=part)
    if kind == "one":
        writes = text.harmful and text.answer_at is not None and name != "R"
        neuron = random.choice((layout.W if writes else layout.R).neurons)
        return Plan(own, zero=Circuit(neurons=[neuron]), needed="words" if writes else "label")
    variable: Circuit = getattr(layout, name)
    carrier = random.choice((variable, Circuit(heads=variable.heads), Circuit(neurons=variable.neurons)))
    if kind == "zero":
        return Plan(replace(own, **{name: None}), zero=carrier)
    values = replace(own, **{name: getattr(other.values, name)})
    if values.W is not None and values.K is not None:
        return Plan(own)  # two words for one place: the high-level model does not say which
    return Plan(values, swap=carrier)


def some(circuit: Circuit, random: Random) -> Circuit:
    """Each component with a probability that is drawn first: few of them, or nearly all."""
    share = random.random()
    return Circuit(
        heads=[at for at in circuit.heads if random.random() < share],
        neurons=[at for at in circuit.neurons if random.random() < share],
    )


def losses(logits: Float[Tensor, "row pos d_vocab"], texts: Sequence[Text], values: Sequence[Values]) -> Float[Tensor, "row 2"]:
    """Cross-entropy against the high-level model: of the answer's words (mean; 0 without an answer) and of the label; nats."""
    log_p, start = logits.log_softmax(-1), texts[0].answer_at  # all texts are laid out alike
    of_label = -(log_p[:, -1] * torch.stack([label_odds(own.R) for own in values])).sum(-1)
    if start is None:
        return torch.stack([torch.zeros_like(of_label), of_label], 1)
    words = torch.stack([word_odds(own.W, own.K) for own in values])
    of_words = -(log_p[:, start - 1 : start - 1 + N_WORDS] * words[:, None]).sum(-1).mean(-1)
    return torch.stack([of_words, of_label], 1)


def outputs_of_components(model: LlamaForCausalLM) -> list[torch.nn.Module]:
    """What reads each layer's heads, and what reads its neurons: their inputs are the activations z and post."""
    return [part for layer in model.model.layers for part in (layer.self_attn.o_proj, layer.mlp.down_proj)]


@contextmanager
def hooked(model: LlamaForCausalLM, hooks: Sequence[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for module, hook in zip(outputs_of_components(model), hooks, strict=True):
            stack.callback(module.register_forward_pre_hook(hook).remove)
        yield


@contextmanager
def recorded(model: LlamaForCausalLM) -> Iterator[list[Tensor]]:
    """z and post of each layer as the forward pass inside makes them, with their graph: a source is trained too."""
    kept: list[Tensor] = []
    with hooked(model, [lambda _, args: kept.append(args[0])] * (2 * N_LAYERS)):
        yield kept


@contextmanager
def intervened(model: LlamaForCausalLM, plans: Sequence[Plan], sources: Sequence[Tensor]) -> Iterator[None]:
    """Inside, each row has its plan's components at zero, or as they are in `sources`."""
    zero, swap = (masks([getattr(own, what) for own in plans]) for what in ("zero", "swap"))

    def change(at: int, _: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        activation = torch.where(swap[at][:, None], sources[at], args[0])
        return (activation.masked_fill(zero[at][:, None], 0.0),)

    with hooked(model, [lambda module, args, at=at: change(at, module, args) for at in range(2 * N_LAYERS)]):
        yield


def masks(circuits: Sequence[Circuit]) -> list[Bool[Tensor, "row width"]]:
    """Of each layer's z (heads concatenated) and post, in the order of `outputs_of_components`."""
    heads = torch.zeros(N_LAYERS, len(circuits), N_HEADS, D_HEAD, dtype=torch.bool)
    neurons = torch.zeros(N_LAYERS, len(circuits), D_MLP, dtype=torch.bool)
    for row, circuit in enumerate(circuits):
        for layer, head in circuit.heads:
            heads[layer, row, head] = True
        for layer, neuron in circuit.neurons:
            neurons[layer, row, neuron] = True
    flat = rearrange(heads, "layer row head d_head -> layer row (head d_head)")
    return [part for layer in range(N_LAYERS) for part in (flat[layer], neurons[layer])]
