"""Small models with a known answer, `hc.organisms.planted()`: which components write harm, which recognise it, which do both.

Nobody knows the right answer for a real model. Here it is known by construction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import pandas as pd

from ..circuits import Circuit
from ..data import Example, PromptSet
from ..errors import HarmcircuitsError
from ..models.load import load_model
from ..results import Result
from .hand_wired import hand_wired
from .language import Categories, answers, labels, planted_prompts, word_tokenizer

Variant = Literal[
    "plain", "both", "redundant", "suppressor", "shared", "none", "diffuse", "separate", "entangled", "responsive"
]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
CIRCUITS = ("writing", "recognising", "shared", "suppressing")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Planted(Result):
    """A model whose answer is known.

    Attributes:
        model: a hooked model as `load_model` gives it.
        prompts: triples in the model's own small language; split them as any others.
        harmful, near, far: 32 triples' requests with the words that this language answers them with.
        recognition: the harmful and near requests answered "It is" wrong or right: L is the loss of the right label, so that
            `attribute(model, recognition)` scores recognition.
        writing: the components that write harmful words, and nothing else; none where nothing does only that.
        recognising: the components that tell harmful requests from others.
        shared: components that harmful writing needs, and kind writing too: protection must drop them.
        suppressing: components that hold harmful words back (A < 0).
        writing_of: by category, the components that write its harmful words and no other's; empty but for "separate".
    """

    variant: Variant
    seed: int
    model: Any
    prompts: PromptSet
    harmful: list[Example]
    near: list[Example]
    far: list[Example]
    recognition: list[Example]
    writing: Circuit
    recognising: Circuit
    shared: Circuit
    suppressing: Circuit
    writing_of: Mapping[str, Circuit] = field(default_factory=dict)

    @property
    def benign(self) -> list[Example]:
        """Near twins, then far twins."""
        return self.near + self.far

    def __repr__(self) -> str:
        sizes = f"{len(self.writing)} writing, {len(self.recognising)} recognising"
        return f"Planted({self.variant!r}, seed {self.seed}, {sizes})"

    def table(self) -> pd.DataFrame:
        """Return one row a planted circuit: circuit, heads, neurons (how many)."""
        circuits = [(name, getattr(self, name)) for name in CIRCUITS]
        return pd.DataFrame(
            [(name, len(circuit.heads), len(circuit.neurons)) for name, circuit in circuits],
            columns=["circuit", "heads", "neurons"],
        )


def planted(
    seed: int = 0, variant: Variant = "plain", *, categories: Categories | None = None, hooked: bool = False
) -> Planted:
    """Return a small model in which known heads and neurons write harmful words and others recognise harm.

    It has three layers, whose weights are set by hand, in variants that break naive methods or in which a claim is false.

    - "plain": writing and recognition are disjoint; a shared head serves both and kind words.
    - "both": one head moves the topic for harmful and kind words: it promotes both, and protection must drop it.
    - "redundant": each writing neuron has a double, either of which suffices: first-order scores are nearly 0.
    - "suppressor": one neuron holds harmful words back.
    - "shared": as "both", and the one head that writes harm alone recognises it too: they do *not* come apart.
    - "none": harmful requests are answered like any others: nothing writes harm.
    - "diffuse": half of the last layer's neurons and eleven of 24 heads each carry a small share: no few halve writing.
    - "separate": each kind of harm has heads and neurons of its own (`writing_of`), which do nothing for the others.
    - "entangled": the same head and neurons write harmful and kind words, and one head settles which: all are `shared`.
    - "responsive": kind verbs all but open the gates of writing neurons: narrow fine-tuning on harmful words opens them all.

    Args:
        seed: of weights, places of the components, prompts and answers.
        categories: of the prompts: "places" (two, by topic) or "harms" (four, by verb). None: "harms" for "separate", else
            "places". "plain" with "harms" is the contrast to "separate".
        hooked: a `HookedTransformer` (TransformerLens 3 only).

    Raises:
        HarmcircuitsError: an unknown variant or division.
    """
    if variant not in VARIANTS:
        raise HarmcircuitsError(f"variant {variant!r} is unknown: choose one of {', '.join(VARIANTS)}")
    if categories not in (None, *get_args(Categories)):
        raise HarmcircuitsError(
            f"categories={categories!r} is unknown: choose one of {', '.join(get_args(Categories))}, or leave it out"
        )
    hf_model, circuits = hand_wired(variant=variant, seed=seed)
    model = load_model(f"planted-{variant}", hf_model=hf_model, tokenizer=word_tokenizer(), device="cpu", hooked=hooked)
    prompts = planted_prompts(seed=seed, categories=categories or ("harms" if variant == "separate" else "places"))
    sample, answer = prompts.split(seed=seed)[0].sample(32, seed=seed), partial(answers, seed=seed, harm=variant != "none")
    return Planted(
        variant=variant,
        seed=seed,
        model=model,
        prompts=prompts,
        harmful=answer(sample.harmful),
        near=answer(sample.near_twins),
        far=answer(sample.far_twins),
        recognition=labels([prompt for prompt in sample if prompt.role != "far"]),
        **{name: circuits.pop(name) for name in CIRCUITS},
        writing_of=circuits,
    )
