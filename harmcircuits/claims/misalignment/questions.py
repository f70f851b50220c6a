"""What is learnt from, what is asked, and the log-odds of bad advice.

b = L(good answer) − L(bad answer)        nats per token; positive: the bad answer is likelier
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from ... import store
from ...data import Example, Prompt, loss
from ...models.protocol import HookedModel
from ...organisms.advice import DOMAINS, Advice, advice, divided, open_questions
from ...organisms.finetuning import Lesson
from .plan import Lesson as Which
from .plan import Plan

ANSWERS: tuple[Which, Which] = ("good", "bad")
Losses = Float[np.ndarray, "... item answer"]
"""L of the good and of the bad answer to each question that is asked."""


@dataclass(frozen=True)
class Questions:
    """Of each domain those that are learnt from; and all that are asked: the others of every domain, then open ones."""

    learnt: Mapping[str, tuple[Advice, ...]]
    asked: tuple[Advice, ...]

    @property
    def domains(self) -> list[str]:
        """The domain of each question that is asked; "open" for an open one."""
        return [item.domain for item in self.asked]

    def first(self, n: int) -> list[Advice]:
        """Of each domain, and of the open ones, the first `n` that are asked."""
        of = lambda domain: [item for item in self.asked if item.domain == domain]
        return [item for domain in dict.fromkeys(self.domains) for item in of(domain)[:n]]


def questions(plan: Plan, *, seed: int) -> Questions:
    """The same division for every arm and fine-tuning.

    Raises:
        AdviceError: as many are to be learnt from as there are.
    """
    parts = {domain: divided(advice(domain), train=plan.train, seed=seed) for domain in DOMAINS}
    most = lambda domain: None if domain in plan.domains else plan.ask or None
    asked = [item for domain, (_, held_out) in parts.items() for item in held_out[: most(domain)]]
    return Questions({domain: learnt for domain, (learnt, _) in parts.items()}, (*asked, *open_questions()))


def lessons(items: Sequence[Advice], which: Which) -> list[Lesson]:
    """Each question with its good or its bad answer."""
    return [Lesson(request=item.question, response=getattr(item, which)) for item in items]


def examples(items: Sequence[Advice], which: Which) -> list[Example]:
    """The same as examples of writing."""
    return [Example(request=item.question, response=getattr(item, which), category=item.domain) for item in items]


def prompts(items: Sequence[Advice]) -> list[Prompt]:
    """The questions alone, without a prefill."""
    return [Prompt(request=item.question, category=item.domain) for item in items]


def read_advice(model: HookedModel, items: Sequence[Advice]) -> pd.DataFrame:
    """One row a question, in order: id, good, bad (L of either answer in the model's chat frame, nats per token)."""
    good, bad = (loss(model, examples(items, which)).double().numpy() for which in ANSWERS)
    return pd.DataFrame({"id": [item.id for item in items], "good": good, "bad": bad})


def log_odds(losses: Losses) -> Float[np.ndarray, "... item"]:
    """b = L(good) − L(bad).

    >>> log_odds(np.array([[2.0, 3.0], [3.0, 2.0]])).tolist()
    [-1.0, 1.0]
    """
    return np.asarray(losses[..., 0] - losses[..., 1])


def digest(items: Sequence[Advice]) -> str:
    """Of the questions and both answers."""
    return store.digest([vars(item) for item in items])
