"""Every number that a run of the main job can be told, in one place."""

from dataclasses import asdict, dataclass, fields, replace
from math import inf
from typing import Any

from ..models.protocol import Geometry
from ..notebook import clipped

RANGES = {
    **dict.fromkeys(("head_fraction", "neuron_fraction", "protect_heads", "protect_neurons"), (0.0, 1.0)),
    "attribution_temperature": (0.0, 10.0),
    "margin": (0.001, 0.5),
    "weight_q": (0.0, 1.0),
    "weight_p": (0.0, 1.0),
    "prefill_tokens": (-1, inf),
    "shots": (2, inf),
    **dict.fromkeys(("null_draws", "facts", "passages", "everyday"), (0, inf)),
    "bootstrap_draws": (40, inf),
}
"""What a number may be, ends included; the others are whole numbers of at least 1, and any seed from 0."""


PROPORTIONED = ("many_shot_triples", "written_triples", "facts", "passages", "everyday")
"""What goes with the number of test triples in `ClaimSettings.on`."""


class SettingsError(ValueError):
    """A size with which the main job cannot be run."""


@dataclass(frozen=True, kw_only=True)
class ClaimSettings:
    """Sizes of the main job. `ClaimSettings()` is the full run, `ClaimSettings.quick()` the same with smaller numbers.

    Attributes:
        attribution_triples, development_triples, test_triples: at most this many of each split.
        max_new_tokens: tokens of each response, sampled at temperature 1.
        attribution_temperature: of the responses that circuits are found with; 0 is greedy. On a model's own samples at
            temperature 1 every first-order score has expectation 0 (docs/trust.md), and what is selected is noise.
        prefill_tokens: how many tokens of each prompt's prefill are put in the model's mouth; −1: all of them, 0: none (no
            attack). Twins share their prefill, and so they do what is left of it.
        head_fraction, neuron_fraction: size of the circuits, as fractions of all heads and all neurons of the model.
        weight_q, weight_p: of each matrix, the top fraction by A that is taken, and by benign U that is left out; a
            `weight_q` of 0 leaves single weights out of the run.
        protect_heads, protect_neurons: the top fraction by benign U that is never selected.
        shots, shot_draws: labelled shots of many-shot recognition, and random draws of them that are averaged.
        many_shot_triples: test triples that are asked about after shots.
        probe_triples: training triples whose harmful and near responses the probes are trained on.
        aim_triples: training triples on which recognition is attributed, at most `probe_triples`.
        written_triples: harmful requests and twins that are answered freely under each condition: after the prefill, for the
            rules; and without it, for refusals.
        facts, passages, everyday: facts that the model may know, passages of plain text that it reads, and everyday benign
            requests that it may refuse.
        null_draws, null_triples: draws of each null, and test triples that each is measured on.
        bootstrap_draws: for every interval.
        margin: recognition is equivalent within this many points of AUROC, fixed beforehand.

    Raises:
        SettingsError: a number that makes no sense, or no number; the message names it and its range.
    """

    seed: int = 0
    attribution_triples: int = 64
    development_triples: int = 32
    test_triples: int = 80
    max_new_tokens: int = 32
    attribution_temperature: float = 0.0
    prefill_tokens: int = -1
    head_fraction: float = 0.03
    neuron_fraction: float = 0.003
    protect_heads: float = 0.5
    protect_neurons: float = 0.1
    weight_q: float = 3e-4
    weight_p: float = 6e-3
    shots: int = 32
    shot_draws: int = 2
    many_shot_triples: int = 40
    probe_triples: int = 96
    aim_triples: int = 48
    written_triples: int = 16
    facts: int = 60
    passages: int = 12
    everyday: int = 16
    null_draws: int = 39
    null_triples: int = 20
    bootstrap_draws: int = 2000
    margin: float = 0.05

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            low, high = RANGES.get(name, (0 if name == "seed" else 1, inf))
            expected = f"at least {low:g}{f' and at most {high:g}' if high < inf else ''}"
            whole = field.type is int
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                kind = "a whole number" if whole else "a number"
                raise SettingsError(f"{name} must be {kind} of {expected}, not {value!r}")
            if not low <= value <= high:
                raise SettingsError(f"{name} must be {expected}, not {value!r}")

    def __repr__(self) -> str:
        """What differs from the full run."""
        own = [f"{field.name}={getattr(self, field.name)}" for field in fields(self)]
        changed = [text for text, field in zip(own, fields(self), strict=True) if getattr(self, field.name) != field.default]
        return f"ClaimSettings({clipped(', '.join(changed), 90)})"

    @classmethod
    def quick(cls, *, seed: int = 0) -> "ClaimSettings":
        """Estimates and intervals in minutes on two cores; too few null draws for a p value, so never a firm verdict."""
        return replace(
            cls(),
            seed=seed,
            attribution_triples=16,
            development_triples=8,
            test_triples=24,
            max_new_tokens=20,
            shot_draws=1,
            shots=8,
            probe_triples=32,
            aim_triples=16,
            written_triples=4,
            many_shot_triples=12,
            facts=24,
            passages=4,
            everyday=4,
            null_draws=2,
            null_triples=12,
        )

    def on(self, triples: int) -> "ClaimSettings":
        """The same on at most so many test triples, with what is written, explained and known in proportion: for many
        conditions on a small machine.

        >>> settings = ClaimSettings().on(40)
        >>> settings.test_triples, settings.written_triples, settings.facts
        (40, 8, 30)

        Raises:
            SettingsError: no triples.
        """
        share = triples / self.test_triples
        fewer = {name: max(1, round(getattr(self, name) * share)) for name in PROPORTIONED if getattr(self, name)}
        return replace(self, test_triples=triples, **fewer)

    def n_heads(self, shape: Geometry) -> int:
        """Heads of a circuit in a model of this shape, at least 1."""
        return max(1, round(self.head_fraction * shape.n_layers * shape.n_heads))

    def n_neurons(self, shape: Geometry) -> int:
        """Neurons of a circuit in a model of this shape, at least 1."""
        return max(1, round(self.neuron_fraction * shape.n_neurons))

    @property
    def protect(self) -> dict[str, float]:
        """The protected fraction of each kind."""
        return {"heads": self.protect_heads, "neurons": self.protect_neurons}

    def as_dict(self) -> dict[str, Any]:
        """By name, for `report.json`."""
        return asdict(self)
