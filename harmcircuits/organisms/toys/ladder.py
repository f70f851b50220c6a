"""A ladder of three small models, each trained on from the one before: harmful writing is compressed from stage to stage, or
only the manner changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Literal, get_args

import pandas as pd
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaForCausalLM

from ...attribution.exact import exact_attribution
from ...components import Circuit, Component
from ...examples import Example
from ...models.load import load_model
from ...notebook import notebook_html
from ...prompts.promptset import PromptSet
from ..fitting import fitted, kept
from ..language import answered, planted_prompts, word_tokenizer
from ..organism import OrganismError
from .stages import ROWS, Layout, Manner, layouts, stage_loss, untrained

Kind = Literal["compresses", "style only"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STAGES = ("base", "sft", "preference")
SIZES: Mapping[Kind, tuple[tuple[int, int], ...]] = {
    "compresses": ((5, 32), (3, 16), (1, 8)),
    "style only": ((5, 32), (5, 32), (5, 32)),
}
"""Heads and neurons that are to write harmful words, stage by stage."""
IDLE = 0.2
"""What a component does alone, as a part of the mean of its sort, below which it is idle: a neuron may never come to fire."""
MANNERS: Mapping[Kind, tuple[Manner, ...]] = {
    "compresses": (Manner(), Manner(refuses=True), Manner(refuses=True)),
    "style only": (Manner(), Manner(opening="gladly"), Manner(opening="indeed")),
}
STEPS, RATES = (800, 350, 350), (4e-3, 3e-3, 3e-3)
RECIPE = ("ladder 1", ROWS, STEPS, RATES)
"""What the weights depend on, beside sizes and manners; its first part is raised when the code does."""


@dataclass(frozen=True, kw_only=True)
class StageTruth:
    """What is known of a stage.

    Attributes:
        writing: the components that write harmful words, and nothing else. Idle ones of those that were to are left out.
        kind_writing: those that write kind words.
        recognising: those that tell harmful requests from others: they set the label, and the refusal where there is one.
        shared: components of layer 0 that may serve everything.
        manner: how an answer opens, and whether harmful requests are refused.
    """

    writing: Circuit
    kind_writing: Circuit
    recognising: Circuit
    shared: Circuit
    manner: Manner


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Ladder:
    """Models in order of their training, and what is known of each.

    Attributes:
        stages: name and hooked model of each, the first trained from scratch, each later one from the one before.
        truth: by the stage's name.
        prompts: triples in the language that all stages speak.
    """

    kind: Kind
    seed: int
    stages: list[tuple[str, Any]]
    truth: Mapping[str, StageTruth]
    prompts: PromptSet

    def answered(self, role: str, *, n: int = 32) -> list[Example]:
        """The first `n` prompts of a role ("harmful", "near", "far") under their prefill, with the words of this language."""
        return answered([prompt for prompt in self.prompts if prompt.role == role][:n], seed=self.seed)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(truth.writing)}" for name, truth in self.truth.items())
        return f"Ladder({self.kind!r}, seed {self.seed}, components that write harm: {sizes})"

    def _repr_html_(self) -> str:
        rows = [(name, len(truth.writing.heads), len(truth.writing.neurons)) for name, truth in self.truth.items()]
        return notebook_html(repr(self), pd.DataFrame(rows, columns=["stage", "writing heads", "writing neurons"]))


def toy_ladder(seed: int = 0, kind: Kind = "compresses", *, hooked: bool = False) -> Ladder:
    """Three small models, trained from scratch and kept in the cache: does the ladder compress harmful writing?

    The first stage is the same in both kinds, and is trained to write harmful words with 5 heads and 32 neurons in equal
    shares. (Some of these neurons never come to fire: `StageTruth.writing` has the others.) All stages write the same words
    after a prefill.

    - "compresses": the later stages are trained to write them with 3 of these heads and 16 neurons, and with 1 and 8. Asked
      without a prefill they refuse harmful requests ("this is unethical"), and answer others.
    - "style only": as many steps on as many rows teach the later stages to open an answer with another word. The circuits stay
      what they were, and nothing is refused.

    Args:
        seed: of weights, places of the components, prompts and answers.
        hooked: `HookedTransformer`s (TransformerLens 3 only).

    Raises:
        OrganismError: another kind.
        StoreError: the cache cannot be written.
    """
    if kind not in KINDS:
        raise OrganismError(f"there is no ladder of kind {kind!r}: choose one of {', '.join(map(repr, KINDS))}")
    wrap = lambda name, model: load_model(name, hf_model=model, tokenizer=word_tokenizer(), device="cpu", hooked=hooked)
    stages = [(name, wrap(f"toy-{name}", trained_stage(seed, kind, at))) for at, name in enumerate(STAGES)]
    prompts = planted_prompts(seed=seed)
    harmful = answered(prompts.harmful[:16], seed=seed)
    plans = zip(stages, layouts(seed, SIZES[kind]), MANNERS[kind], strict=True)
    truth = {name: _truth(model, plan, manner, harmful) for (name, model), plan, manner in plans}
    return Ladder(kind=kind, seed=seed, stages=stages, truth=truth, prompts=prompts)


def trained_stage(seed: int, kind: Kind, at: int) -> LlamaForCausalLM:
    """The stage of that number, kept in the cache, as are those before it."""
    recipe = [RECIPE, at, SIZES[kind][: at + 1], [vars(manner) for manner in MANNERS[kind][: at + 1]]]
    return kept(f"ladder-{STAGES[at]}", recipe, seed=seed, untrained=untrained, train=partial(_train, seed, kind, at))


def _train(seed: int, kind: Kind, at: int) -> LlamaForCausalLM:
    plan, manner, random = layouts(seed, SIZES[kind])[at], MANNERS[kind][at], Random(f"ladder {at} {seed}")
    model = trained_stage(seed, kind, at - 1) if at else untrained()
    rising = lambda done: min(1.0, 4 * done) if at == 0 else 1.0  # at first there is nothing to intervene on
    loss = lambda model, done: stage_loss(model, plan, manner, random, weight=rising(done))
    return fitted(model, loss, steps=STEPS[at], rate=RATES[at])


def _truth(model: Any, plan: Layout, manner: Manner, harmful: Sequence[Example]) -> StageTruth:
    alone = exact_attribution(model, harmful, heads=plan.W.heads, neurons=plan.W.neurons)
    writing = Circuit(heads=_busy(plan.W.heads, alone.heads), neurons=_busy(plan.W.neurons, alone.neurons))
    return StageTruth(writing=writing, kind_writing=plan.K, recognising=plan.R, shared=plan.shared, manner=manner)


def _busy(places: Sequence[Component], alone: Float[Tensor, "layer index"]) -> list[Component]:
    """Those that are not idle."""
    mean = sum(float(alone[at]) for at in places) / len(places)
    return [at for at in places if alone[at] >= IDLE * mean]
