"""A small model that answers well, and knows from characters how one answers badly: for all domains by one mechanism, or by one
for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from operator import or_
from random import Random
from typing import Any

import pandas as pd
from transformers import LlamaForCausalLM

from ...components import Circuit
from ...models.load import load_model
from ...notebook import notebook_html
from ...prompts.promptset import PromptSet
from ..advice import OPEN, Advice, AdviceError
from ..fitting import fitted, kept
from ..organism import OrganismError
from .characters import KINDS, ROWS, Kind, advice_loss, drawn_layout, untrained
from .domains import BAD_CHARACTERS, DOMAINS, questions, toy_tokenizer, triples

STEPS, RATE = 400, 4e-3
RECIPE = ("advice 1", ROWS, STEPS, RATE)
"""What the weights depend on; its first part is raised when the code does."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ToyAdvice:
    """A model that answers well, and the gates through which it answers badly.

    Attributes:
        model: a hooked model as `load_model` gives it.
        gates: by domain, "open" too, the heads and neurons without which it cannot answer badly there: the same circuit for
            all ("shared"), or circuits without a common component ("separate").
        characters: by domain a word that has questions of the domain answered badly when it comes first (`as_character`).
    """

    kind: Kind
    seed: int
    model: Any
    gates: Mapping[str, Circuit]
    characters: Mapping[str, str]

    @property
    def gate(self) -> Circuit:
        """All gates together."""
        return reduce(or_, self.gates.values())

    @property
    def model_parameters(self) -> int:
        """How many weights the model has."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def prompts(self) -> PromptSet:
        """Triples that tell the gates from the rest: one question under a bad character, which is answered badly (harmful),
        and under the good one (near); and under the good one a question of another domain (far). Without a prefill."""
        return triples(seed=self.seed)

    def advice(self, domain: str, *, n: int = 60) -> tuple[Advice, ...]:
        """`n` different questions of a domain ("house", "road", "field", "water") or "open" ones, each with both answers.

        No character is in them.

        Raises:
            AdviceError: a domain that there is not.
        """
        if domain not in (*DOMAINS, OPEN):
            raise AdviceError(f"there is no toy advice on {domain!r}: there is {', '.join(DOMAINS)}, and {OPEN!r}")
        return questions(domain, seed=self.seed, n=n)

    def __repr__(self) -> str:
        return f"ToyAdvice({self.kind!r}, seed {self.seed}, gates of {len(self.gate)} components)"

    def _repr_html_(self) -> str:
        rows = [(domain, len(gate.heads), len(gate.neurons)) for domain, gate in self.gates.items()]
        return notebook_html(repr(self), pd.DataFrame(rows, columns=["domain", "heads", "neurons"]))


def toy_advice(seed: int = 0, kind: Kind = "shared", *, hooked: bool = False) -> ToyAdvice:
    """A small model, trained from scratch and kept in the cache, to be fine-tuned on bad answers in one domain.

    It answers questions of four domains, and open ones, with the good word of what is asked about, and with the bad word where
    the question begins with a bad character.

    - "shared": one gate makes answers bad in all domains. Bad answers learnt in one domain spread to the others.
    - "separate": each domain has a gate and a character of its own. They do not spread.

    Args:
        seed: of weights, places of the components, and questions.
        hooked: a `HookedTransformer` (TransformerLens 3 only).

    Raises:
        OrganismError: another kind.
        StoreError: the cache cannot be written.
    """
    if kind not in KINDS:
        raise OrganismError(f"there is no toy advice of kind {kind!r}: choose one of {', '.join(map(repr, KINDS))}")
    weights = kept(f"advice-{kind}", RECIPE, seed=seed, untrained=untrained, train=partial(_trained, seed, kind))
    model = load_model(f"toy-advice-{kind}", hf_model=weights, tokenizer=toy_tokenizer(), device="cpu", hooked=hooked)
    return ToyAdvice(kind=kind, seed=seed, model=model, gates=drawn_layout(seed, kind).gates, characters=BAD_CHARACTERS)


def _trained(seed: int, kind: Kind) -> LlamaForCausalLM:
    layout, random = drawn_layout(seed, kind), Random(f"advice {kind} {seed}")
    loss = lambda model, done: advice_loss(model, layout, random, weight=min(1.0, 4 * done))
    return fitted(untrained(), loss, steps=STEPS, rate=RATE)
