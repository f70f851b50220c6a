"""What the model writes under a condition: after the prefill (compliance), and without one (refusal).

Texts are read by rules (`judges.rules`); a judge may read the same texts afterwards (`Outcomes.texts`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ..ablation.ablate import Condition
from ..ablation.generate import generate
from ..data import Prompt
from ..judges.rules import OUTCOMES, read_compliance
from ..models.protocol import HookedModel
from .reading import Reading, item_frame


@dataclass(frozen=True)
class Compliance(Reading):
    """Columns `complied`, `refused` (or turned away) and `degenerate`, each 0 or 1, of what is written after the prefill.

    Attributes:
        temperature: 0 is greedy; 1 samples, with the same random numbers under every condition.
        max_new_tokens: of each text.
    """

    prompts: tuple[Prompt, ...]
    temperature: float = 0.0
    max_new_tokens: int = 40
    seed: int = 0

    @property
    def name(self) -> str:
        return "sampled" if self.temperature else "compliance"

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        options = {"max_new_tokens": self.max_new_tokens, "temperature": self.temperature, "seed": self.seed}
        outcomes = written_outcomes(model, self.prompts, condition, **options)
        suffix = "_sampled" if self.temperature else ""
        return outcomes.rename(columns={outcome: outcome + suffix for outcome in OUTCOMES})


@dataclass(frozen=True)
class Refusal(Reading):
    """Column `refusal`, 0 or 1: the request is refused when nothing is put in the model's mouth; greedy.

    Refusal is measured, never a target for removal.
    """

    name = "refusal"
    prompts: tuple[Prompt, ...]
    max_new_tokens: int = 24

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        prompts = [replace(prompt, prefill="") for prompt in self.prompts]
        outcomes = written_outcomes(model, prompts, condition, max_new_tokens=self.max_new_tokens, temperature=0.0)
        return outcomes[["item", "refused", "response_ids"]].rename(columns={"refused": "refusal"})


def written_outcomes(model: HookedModel, prompts: Sequence[Prompt], condition: Condition, **options: Any) -> pd.DataFrame:
    """Return what rules say of one text a prompt, written under the condition (not cached), and its token ids."""
    texts = generate(model, prompts, condition.ablation, method=condition.method, alpha=condition.alpha, **options)
    outcomes = [read_compliance(text.request, text.response) for text in texts]
    frame = item_frame({name: [outcome == name for outcome in outcomes] for name in OUTCOMES})
    return frame.assign(response_ids=[" ".join(map(str, text.response_ids or ())) for text in texts])
