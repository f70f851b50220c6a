"""Sizes of the experiment: plain numbers with defaults, fixed before anything is measured."""

import json
from dataclasses import asdict, dataclass, fields, replace
from math import inf
from typing import Any

from ..errors import HarmcircuitsError

Pair = tuple[float, float]
COMPONENTS = ("heads", "neurons", "weights")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes of `dissociate`. `Settings()` is the full run, `Settings.quick()` the same with fewer prompts.

    Attributes:
        seed: of splits, shots, sampling, controls and bootstrap.
        components: circuits that are selected: some of heads, neurons, weights.
        train_prompts: harmful and, again, benign requests that scores are taken from.
        development_prompts: of each role, on which the question and the sizes are chosen.
        test_prompts: of each role: losses and recognition.
        control_prompts: of each role: controls are measured on the first of the test requests.
        written_prompts: of each role: compliance, refusal, explanation.
        max_new_tokens: of the baseline's greedy responses under attack.
        written_tokens: of what is written under each condition.
        sampled: also read compliance on text sampled at temperature 1.
        head_fractions: sizes that are tried, as fractions of all heads.
        neuron_fractions: sizes that are tried, as fractions of all neurons.
        weight_fractions: sizes that are tried: the top q of A minus the top p of U, as q:p.
        recipe: of weights: released (q and p of each matrix), global (of all weights) or unsigned (of each matrix, by |A|).
        protect_heads: fraction with the largest benign U, never selected.
        protect_neurons: fraction with the largest benign U, never selected.
        max_benign_increase: largest ΔL of unrelated benign responses at a size that is taken, nats per token.
        shots: labelled requests before a many-shot question; 0: many-shot recognition is not read.
        random_draws: of each random control.
        facts: of capabilities; 0: none.
        passages: of capabilities; 0: none.
        bootstrap_draws: of every interval.
        retained: recognition is kept where this share of the baseline's AUROC − 1/2 is shown to be left. Fixed beforehand.
        least_increase: a harmful ΔL below this counts as none, nats per token. Fixed beforehand.
        negligible: a difference below this share of the harmful ΔL counts as none. Fixed beforehand.

    Raises:
        HarmcircuitsError: a number out of its range; the message names it.
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
        lowest = {"seed": 0, "shots": 0, "random_draws": 0, "facts": 0, "passages": 0, "bootstrap_draws": 100}
        for field in (field for field in fields(self) if field.type in (int, float)):
            value, kind = getattr(self, field.name), field.type
            low, high = (lowest.get(field.name, 1), inf) if kind is int else (0, 1)
            high = inf if field.name == "max_benign_increase" else high
            if isinstance(value, bool) or not isinstance(value, int | kind) or not low <= value <= high:
                raise HarmcircuitsError(f"{field.name} must be a number from {low:g} to {high:g}, not {value!r}")
        if not self.components or set(self.components) - set(COMPONENTS):
            raise HarmcircuitsError(f"components are some of {', '.join(COMPONENTS)}, not {self.components!r}")
        if self.recipe not in ("released", "global", "unsigned"):
            raise HarmcircuitsError(f"recipe is released, global or unsigned, not {self.recipe!r}")
        if not all((self.head_fractions, self.neuron_fractions, self.weight_fractions)):
            raise HarmcircuitsError("give at least one size of each component; leave a kind out with components=")

    @classmethod
    def quick(cls, *, seed: int = 0) -> "Settings":
        """Minutes on two cores: intervals are wide, and most answers undecided."""
        prompts: dict[str, Any] = {"train_prompts": 24, "development_prompts": 8, "test_prompts": 16, "control_prompts": 12}
        texts: dict[str, Any] = {"written_prompts": 12, "max_new_tokens": 24, "written_tokens": 24, "sampled": False}
        return replace(cls(), seed=seed, shots=8, random_draws=1, facts=20, passages=4, **prompts, **texts)

    @property
    def protect(self) -> dict[str, float]:
        """The protected fraction by component type."""
        return {"heads": self.protect_heads, "neurons": self.protect_neurons}

    def as_dict(self) -> dict[str, Any]:
        """Plain values by name, for `report.json`."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values


@dataclass(frozen=True, kw_only=True)
class RecipeSettings(Settings):
    """Sizes of `compare_recipes`: those of the experiment, and every doubling of sizes.

    Attributes:
        max_benign_increase: ΔL of unrelated benign development responses that every recipe should cost, nats per token.
    """

    max_benign_increase: float = 0.3
    head_fractions: tuple[float, ...] = tuple(2.0**-k for k in range(8, 0, -1))
    neuron_fractions: tuple[float, ...] = tuple(2.0**-k for k in range(12, 2, -1))
    weight_fractions: tuple[Pair, ...] = tuple((2.0**-k, 2.0 ** (2 - k)) for k in range(22, 4, -1))


@dataclass(frozen=True, kw_only=True)
class CompactnessSettings(Settings):
    """Sizes of `compactness`: those of the experiment, over a wider range of sizes."""

    head_fractions: tuple[float, ...] = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
    neuron_fractions: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 0.01, 0.03)
    weight_fractions: tuple[Pair, ...] = ((1e-6, 4e-6), (1e-5, 5e-5), (1e-4, 4e-4), (1e-3, 4e-3), (1e-2, 4e-2))


@dataclass(frozen=True, kw_only=True)
class GeneralitySettings(Settings):
    """Sizes of `generality`: training requests of each category, and of each component type the first size.

    Attributes:
        categories: kinds of harm, at most.
        label_swaps: selections with labels drawn at random, for overlaps; they run no model.
    """

    categories: int = 6
    label_swaps: int = 99
    components: tuple[str, ...] = ("heads", "neurons")
    train_prompts: int = 16
    test_prompts: int = 60
    control_prompts: int = 36
    random_draws: int = 1
    head_fractions: tuple[float, ...] = (0.08,)
    neuron_fractions: tuple[float, ...] = (0.02,)
    weight_fractions: tuple[Pair, ...] = ((1e-5, 5e-5),)


@dataclass(frozen=True, kw_only=True)
class MisalignmentSettings(Settings):
    """Sizes of `misalignment`: those of the experiment for circuits, and of the fine-tuning.

    Attributes:
        subject: what the lessons are about: money, habits, sport or home.
        lessons: questions of the subject that are learned from.
        questions: other questions of the subject, and of each other subject, at most.
        fine_tunings: of each arm; with fewer than 3 there are no intervals.
        epochs: how often each lesson is learned.
        learning_rate: of the adapter, the highest.
        rank: of the adapter (LoRA, alpha twice the rank).
        batch_size: lessons a step.
    """

    components: tuple[str, ...] = ("weights",)
    subject: str = "sport"
    lessons: int = 200
    questions: int = 100
    fine_tunings: int = 3
    epochs: int = 2
    learning_rate: float = 3e-4
    rank: int = 32
    batch_size: int = 8


def as_text(value: object) -> str:
    """Return a setting as a command takes it.

    >>> as_text(((1e-5, 5e-5), (0.1, 0.2))), from_text("0.1:0.2", ((0.5, 0.5),))
    ('1e-05:5e-05,0.1:0.2', ((0.1, 0.2),))
    """
    if not isinstance(value, tuple):
        return str(value)
    return ",".join(":".join(f"{number:g}" for number in part) if isinstance(part, tuple) else str(part) for part in value)


def from_text(text: str, default: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the parts that `as_text` writes, of the type of the default's. Raises ValueError where they are not."""
    pair, kind = isinstance(default[0], tuple), type(default[0])
    parts = [part.strip() for part in text.split(",")]
    return tuple(tuple(map(float, part.split(":", 1))) if pair else kind(part) for part in parts)
