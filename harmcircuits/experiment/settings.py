"""Sizes of the experiment: plain numbers with defaults, fixed before anything is measured."""

import json
from dataclasses import asdict, dataclass, fields, replace
from math import inf
from typing import Any

Pair = tuple[float, float]
COMPONENTS = ("heads", "neurons", "weights")


class SettingsError(ValueError):
    """A size with which the experiment cannot be run."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes of `dissociate`. `Settings()` is the full run, `Settings.quick()` the same with fewer prompts.

    Attributes:
        components: which circuits are made: any of "heads", "neurons", "weights".
        train_prompts: harmful and, again, benign requests that scores are taken from.
        development_prompts: of each role, on which the question and the sizes are chosen.
        test_prompts: of each role: losses and recognition.
        control_prompts: of each role: controls are measured on the first of the test requests.
        written_prompts: of each role: compliance, refusal, explanation.
        max_new_tokens: of the baseline's greedy responses under attack.
        written_tokens: of what is written under each condition.
        sampled: also read compliance on text sampled at temperature 1.
        head_fractions, neuron_fractions: sizes that are tried, as fractions of all heads and all neurons.
        weight_fractions: pairs (q, p) that are tried; `recipe`: "released" or "global".
        protect_heads, protect_neurons: the fraction with the largest benign U, never selected.
        max_benign_increase: the smallest size with nearly the largest ΔL on harmful development responses is taken, among those
            whose ΔL on unrelated benign ones is at most this, nats per token.
        shots: labelled requests before a many-shot question; 0: many-shot recognition is not read.
        random_draws: of each random control.
        facts, passages: of capabilities.
        bootstrap_draws: of every interval.
        retained: recognition counts as kept where at least this share of the baseline's signal (AUROC − 1/2) is shown to be
            left. Fixed beforehand.
        least_increase: a ΔL on harmful responses below this counts as none, nats per token. Fixed beforehand.
        negligible: a difference below this share of the harmful ΔL counts as none. Fixed beforehand.

    Raises:
        SettingsError: a number out of its range; the message names it.
    """

    seed: int = 0
    components: tuple[str, ...] = COMPONENTS
    train_prompts: int = 64
    development_prompts: int = 24
    test_prompts: int = 40
    control_prompts: int = 24
    written_prompts: int = 24
    max_new_tokens: int = 48
    written_tokens: int = 40
    sampled: bool = True
    head_fractions: tuple[float, ...] = (0.02, 0.04, 0.08)
    neuron_fractions: tuple[float, ...] = (0.004, 0.01, 0.02)
    weight_fractions: tuple[Pair, ...] = ((1e-5, 5e-5), (3e-5, 1e-4), (1e-4, 4e-4))
    recipe: str = "released"
    protect_heads: float = 0.5
    protect_neurons: float = 0.1
    max_benign_increase: float = 0.5
    shots: int = 32
    random_draws: int = 3
    facts: int = 60
    passages: int = 12
    bootstrap_draws: int = 2000
    retained: float = 0.8
    least_increase: float = 0.05
    negligible: float = 0.1

    def __post_init__(self) -> None:
        least = {"seed": 0, "shots": 0, "random_draws": 0, "facts": 0, "passages": 0, "bootstrap_draws": 100}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type not in (int, float):
                continue
            low, high = (
                (least.get(field.name, 1), inf) if field.type is int else (0, 1 if field.name != "max_benign_increase" else inf)
            )
            if (
                not isinstance(value, int | float)
                or isinstance(value, bool)
                or (field.type is int and not isinstance(value, int))
                or not low <= value <= high
            ):
                raise SettingsError(f"{field.name} must be a number from {low:g} to {high:g}, not {value!r}")
        if not self.components or set(self.components) - set(COMPONENTS):
            raise SettingsError(f"components are some of {', '.join(COMPONENTS)}, not {self.components!r}")
        if self.recipe not in ("released", "global"):
            raise SettingsError(f'recipe is "released" or "global", not {self.recipe!r}')
        if not all((self.head_fractions, self.neuron_fractions, self.weight_fractions)):
            raise SettingsError("give at least one size of each component; leave a kind out with components=")

    @classmethod
    def quick(cls, *, seed: int = 0) -> "Settings":
        """Minutes on two cores: intervals are wide, and most answers undecided."""
        return replace(
            cls(),
            seed=seed,
            train_prompts=24,
            development_prompts=8,
            test_prompts=16,
            control_prompts=12,
            written_prompts=12,
            max_new_tokens=24,
            written_tokens=24,
            sampled=False,
            shots=8,
            random_draws=1,
            facts=20,
            passages=4,
        )

    @property
    def protect(self) -> dict[str, float]:
        """The protected fraction by component type."""
        return {"heads": self.protect_heads, "neurons": self.protect_neurons}

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, for `report.json`."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values
