"""How a model is fine-tuned."""

from dataclasses import dataclass
from math import ceil, isfinite
from typing import Literal, get_args

from .lessons import FinetuneError

Method = Literal["sft", "dpo"]
WARM_UP = 0.05
"""Of all steps: the learning rate rises from 0, and falls linearly to 0 in the rest."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """AdamW without weight decay; gradients clipped at norm 1; the learning rate rises for 5 % of the steps, then falls to 0.

    Attributes:
        method: "sft", the loss of the responses (Σ −ln p ÷ tokens, over the tokens of a batch); or "dpo", direct preference
            optimisation against the model as it was: −ln σ(β · (Δ chosen − Δ rejected)), Δ = ln p of a response now − before.
        rank: of LoRA on every linear layer of the blocks, W + (alpha / rank) · B A; 0: all weights are trained.
        alpha: see there.
        learning_rate: the highest.
        epochs: how often each lesson is learnt.
        batch_size: lessons a step.
        beta: of "dpo".
        chosen_weight: of "dpo": this times the loss of the chosen responses, as in "sft", is added, so that they stay likely.
            Without it both may become unlikely, the rejected ones more so.
        max_tokens: of a lesson with its chat frame. Longer ones are refused, never cut.
        stages: adapters kept at so many equally spaced steps, the last one at the end.

    Raises:
        FinetuneError: a value that makes no sense.

    >>> Recipe(epochs=2, batch_size=8, stages=2).kept(60)
    (8, 16)

    Source: Hu et al. 2021 (LoRA); Rafailov et al. 2023 (DPO); Pang et al. 2024 (with the loss of what is chosen).
    """

    method: Method = "sft"
    rank: int = 32
    alpha: int = 64
    learning_rate: float = 1e-4
    epochs: float = 1.0
    batch_size: int = 8
    beta: float = 0.1
    chosen_weight: float = 0.0
    max_tokens: int = 256
    stages: int = 1

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise FinetuneError(f"method {self.method!r} is unknown: choose one of {', '.join(get_args(Method))}")
        if self.rank < 0:
            raise FinetuneError(f"rank must be at least 1, or 0 to train all weights, not {self.rank}")
        for name in ("alpha", "learning_rate", "epochs", "beta"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise FinetuneError(f"{name} must be a number above 0, not {value}")
        if not (isfinite(self.chosen_weight) and self.chosen_weight >= 0):
            raise FinetuneError(f"chosen_weight must be a number, 0 or above, not {self.chosen_weight}")
        for name in ("batch_size", "max_tokens", "stages"):
            if getattr(self, name) < 1:
                raise FinetuneError(f"{name} must be at least 1, not {getattr(self, name)}")

    def steps(self, n_lessons: int) -> int:
        """Steps of the optimiser, a last smaller batch included.

        >>> Recipe(epochs=1.5, batch_size=8).steps(60)
        12
        """
        return ceil(self.epochs * ceil(n_lessons / self.batch_size))

    def kept(self, n_lessons: int) -> tuple[int, ...]:
        """The steps after which a stage is kept.

        Raises:
            FinetuneError: more stages than steps.
        """
        steps = self.steps(n_lessons)
        if self.stages > steps:
            raise FinetuneError(
                f"{self.stages} stages of {steps} steps: at most one a step can be kept. Ask for fewer, or give more lessons, "
                "more epochs or a smaller batch_size."
            )
        return tuple(round(steps * (stage + 1) / self.stages) for stage in range(self.stages))
