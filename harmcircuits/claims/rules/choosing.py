"""Rules at work: circuits of growing size from the training triples of one deal's choosing categories."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log2
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from ...ablation.hooks import ablated
from ...ablation.sweep import sweep
from ...attribution.activations import attribute
from ...attribution.exact import exact_attribution
from ...attribution.scores import Attribution
from ...components import Circuit, Component
from ...examples import Example
from ...experiments.names import name_of, name_of_examples
from ...models.protocol import geometry
from ...selection.protected import SelectionError
from ...selection.rules import RULES, Evidence
from ...selection.rules.evidence import Pair
from ..material import ROLES, Material
from .front import HARMFUL, NEAR, at_rise
from .plan import AS_EXACT, FIRST, Deal, Plan, Sizes

log = logging.getLogger(__name__)
GRID: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "difference": ("penalty", (1.0, 0.25, 0.5, 2.0)),
    "ratio": ("floor", (1.0, 0.1, 10.0)),
    "exact": ("penalty", (1.0, 0.0, 2.0)),
    AS_EXACT: ("penalty", (1.0, 0.0, 2.0)),
}
"""The option of a rule that is tuned, and what is tried, the rule's default first."""
SHORTLIST = 2.0
"""Of `exact`: half as long as the rule's default, for the sake of time."""
DEAR = ("greedy", "exact")
Path = list[Circuit | None]
"""A circuit of each size; None where the rule has none."""
Losses = Float[np.ndarray, "size example"]


def rounds(ratio: float) -> int:
    """Of a greedy circuit so much larger than the smallest of its path: scores are taken anew before each but the first.

    >>> rounds(1), rounds(8)
    (2, 5)
    """
    return 2 + max(0, round(log2(ratio)))


@dataclass(frozen=True, eq=False)
class Chooser:
    """The evidence of one deal, and what rules make of it."""

    material: Material
    deal: Deal
    plan: Plan

    @cached_property
    def places(self) -> list[int]:
        """The training triples of the choosing categories."""
        return [at for at, category in enumerate(self.material.training_categories) if category in self.deal.choosing]

    @cached_property
    def evidence(self) -> Evidence:
        scores, places = self.material.scores, self.places
        near = scores.near[places]
        measure = _Measured(self.material, self.examples(self.plan.exact_triples))
        return Evidence(
            harmful=scores.harmful[places],
            benign=near + scores.far[places],
            near=near,
            protect_fraction=self.material.settings.protect,
            rescore=_Rescored(self.material, self.examples(len(places))),
            exact=measure if self.plan.exact_triples else None,
        )

    def examples(self, triples: int) -> list[Example]:
        """Whole triples (harmful, near, far) of the choosing categories, the first few."""
        return [self.material.training[ROLES * at + role] for at in self.places[:triples] for role in range(ROLES)]

    def path(self, rule: str, option: float | None, sizes: Sizes) -> Path:
        """Circuits by `rule`; what is dear is kept in the journal."""
        if rule not in DEAR:
            return self._path(rule, option, sizes)
        key = [self._key, rule, option, sizes, self.plan.exact_triples if rule == "exact" else self._smallest, SHORTLIST]
        kept = self.material.journal.frame("circuits", key, lambda: _as_frame(self._path(rule, option, sizes)))
        return _as_path(kept, len(sizes))

    def tuned(self, rules: Sequence[str], sizes: Sizes) -> dict[str, float | None]:
        """The option of each rule with the smallest rise on near twins at the harmful rise of the set difference of the
        default size, on training triples of the choosing categories; the default where none reaches it."""
        asked = {(rule, option): self.path(rule, option, sizes) for rule in rules for option in GRID.get(rule, ("", ()))[1]}
        chosen: dict[str, float | None] = dict.fromkeys(rules)
        if not asked:
            return chosen
        paths: dict[Any, Path] = {(FIRST, None): self.path(FIRST, None, sizes), **asked}
        examples = self.examples(self.plan.tuning_triples)
        means = {
            place: np.stack([rises[:, role::ROLES].mean(1) for role in (HARMFUL, NEAR)])
            for place, rises in swept_paths(self.material, paths, examples).items()
        }
        target = means[FIRST, None][0, self.plan.default]
        for rule in GRID:
            near = {own[1]: float(at_rise(target, *means[own])) for own in asked if own[0] == rule}
            reached = {option: rise for option, rise in near.items() if np.isfinite(rise)}
            if near:
                chosen[rule] = min(reached, key=reached.__getitem__) if reached else GRID[rule][1][0]
        return chosen

    def _path(self, rule: str, option: float | None, sizes: Sizes) -> Path:
        found: Path = []
        select, evidence = RULES[rule if rule != AS_EXACT else "exact"], self.evidence
        if rule == AS_EXACT:
            evidence = replace(evidence, exact=self._stored)
        for heads, neurons in reversed(sizes):  # the largest first: what it measures serves the smaller ones
            try:
                own = self._options(rule, option, heads + neurons)
                found.append(select(evidence, heads=heads, neurons=neurons, **own))
            except SelectionError as error:
                log.warning("deal %d has no circuit of %d heads and %d neurons by %s: %s",
                            self.deal.number, heads, neurons, rule, error)  # fmt: skip
                found.append(None)
        return found[::-1]

    def _options(self, rule: str, option: float | None, size: int) -> dict[str, float]:
        own = {GRID[rule][0]: option} if option is not None else {}
        if rule == "greedy":  # one round more for each doubling, so that a path's smaller circuits are rounds of larger ones
            return {"rounds": rounds(size / self._smallest)}
        return own | ({"shortlist": SHORTLIST} if rule in ("exact", AS_EXACT) else {})

    def _stored(self, heads: Sequence[Component], neurons: Sequence[Component]) -> Pair:
        """First-order scores of the examples that exact ones are taken on, as if only these components were measured."""
        scores, few, asked = self.material.scores, self.places[: self.plan.exact_triples], Circuit(heads=heads, neurons=neurons)
        return _only(scores.harmful[few], asked), _only(scores.near[few], asked)

    @cached_property
    def _smallest(self) -> int:
        """Components of the smallest circuit of a path."""
        return sum(self.plan.sizes(self.material.settings, geometry(self.material.model))[0])

    @property
    def _key(self) -> list[object]:
        settings = self.material.settings
        return [self.material.key, name_of_examples(self.examples(len(self.places))), settings.protect]


class _Rescored:
    """Scores of the same examples with a circuit off, each circuit once."""

    def __init__(self, material: Material, examples: Sequence[Example]):
        self.material, self.examples = material, examples
        self.known: dict[Circuit, Pair] = {}

    def __call__(self, circuit: Circuit) -> Pair:
        if circuit not in self.known:
            with ablated(self.material.model, circuit):
                scores = attribute(self.material.model, self.examples)
            harmful, near, far = (scores[list(range(role, len(self.examples), ROLES))] for role in range(ROLES))
            self.known[circuit] = harmful, near + far
        return self.known[circuit]


class _Measured:
    """Exact scores of the same examples (far twins left out), each component once."""

    def __init__(self, material: Material, examples: Sequence[Example]):
        self.material = material
        self.examples = [example for at, example in enumerate(examples) if at % ROLES != ROLES - 1]
        self.known: Attribution | None = None

    def __call__(self, heads: Sequence[Component], neurons: Sequence[Component]) -> Pair:
        asked = Circuit(heads=heads, neurons=neurons)
        new = asked - self._measured()
        if len(new):
            more = exact_attribution(self.material.model, self.examples, heads=new.heads, neurons=new.neurons)
            self.known = more if self.known is None else _merged(self.known, more)
        assert self.known is not None, "something is asked for, and all of it is measured now"
        only = _only(self.known, asked)
        return only[list(range(0, only.n_examples, 2))], only[list(range(1, only.n_examples, 2))]

    def _measured(self) -> Circuit:
        if self.known is None:
            return Circuit()
        return Circuit(**{kind: own.nonzero().tolist() for kind, own in self.known.measured.items()})


def _merged(one: Attribution, other: Attribution) -> Attribution:
    both = lambda a, b: torch.where(a.isnan(), b, a)
    return Attribution(
        both(one.per_example_heads, other.per_example_heads), both(one.per_example_neurons, other.per_example_neurons)
    )


def _only(scores: Attribution, circuit: Circuit) -> Attribution:
    """The others as not measured."""
    kept = []
    for values, items in ((scores.per_example_heads, circuit.heads), (scores.per_example_neurons, circuit.neurons)):
        own = torch.zeros(values.shape[1:], dtype=torch.bool)
        own[tuple(torch.tensor(items, dtype=torch.long).view(-1, 2).T)] = True
        kept.append(values.where(own, torch.nan))
    return Attribution(kept[0], kept[1])


def swept_paths(
    material: Material, paths: Mapping[Any, Path], examples: Sequence[Example], *, progress: bool = False
) -> dict[Any, Losses]:
    """Rises of L of each example along each path, nats per token; nan where there is no circuit. Kept in the journal."""
    circuits = list(dict.fromkeys(circuit for path in paths.values() for circuit in path if circuit is not None))
    names = [name_of(circuit) for circuit in circuits]
    make: Callable[[], pd.DataFrame] = lambda: pd.DataFrame(
        sweep(material.model, [None, *circuits], examples, progress=progress).T.numpy(), columns=["intact", *names]
    )
    losses = material.journal.frame("swept", [material.key, name_of_examples(examples), names], make)
    rise = {
        circuit: (losses[name] - losses["intact"]).to_numpy(dtype=float) for circuit, name in zip(circuits, names, strict=True)
    }
    unknown = np.full(len(examples), np.nan)
    return {own: np.stack([unknown if c is None else rise[c] for c in path]) for own, path in paths.items()}


def _as_frame(path: Path) -> pd.DataFrame:
    rows = [
        (at, kind, layer, index)
        for at, circuit in enumerate(path)
        if circuit is not None
        for kind, items in (("heads", circuit.heads), ("neurons", circuit.neurons))
        for layer, index in items
    ]
    return pd.DataFrame(rows, columns=["at", "kind", "layer", "index"])


def _as_path(frame: pd.DataFrame, n: int) -> Path:
    found: Path = [None] * n
    for at, rows in frame.groupby("at"):
        own = {kind: list(zip(part["layer"], part["index"], strict=True)) for kind, part in rows.groupby("kind")}
        found[int(str(at))] = Circuit(heads=own.get("heads", ()), neurons=own.get("neurons", ()))
    return found
