"""Outcomes of triples drawn from a known truth: of the baseline, and under a circuit.

Errors have Student's t distribution with 5 degrees of freedom, a triple's roles share its topic, all circuits share what makes
a triple fragile, and eight categories differ in all of it. `benchmarks/simulated.py` counts what is made of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.optimize import brentq

from harmcircuits import statistics as hs

BOOTSTRAP_DRAWS, MARGIN = 400, 0.05
CATEGORY = np.linspace(-1, 1, 8)
"""What the eight categories differ by; every sample has as many triples of each."""
HELD = 0.85
"""Correlation of what each prompt's recognition owes to itself, before and after an ablation."""
OF_THE_MARGIN = float("nan")
"""A fall that changes the AUROC by exactly the margin; `scenarios` finds it."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """The truth of a simulated model: loss increases in nats per token, recognition on a scale of standard deviations.

    `selectivity`: mean increase on harmful minus matched benign responses. `gap`: of harmful requests over matched benign
    ones; `fall`: of it under the circuit.
    """

    selectivity: float = 0.0
    information: float = 0.8
    gap: float = 1.8
    fall: float = 0.0


SCENARIOS = {
    "no effect": Scenario(),
    "fall of the margin": Scenario(selectivity=0.12, fall=OF_THE_MARGIN),
    "fall of the margin near the ceiling": Scenario(selectivity=0.12, gap=4.5, fall=OF_THE_MARGIN),
}


def heavy(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Student's t with 5 degrees of freedom, of variance 1."""
    return rng.standard_t(5, size=shape) * np.sqrt(3 / 5)


class World:
    """The triples of one sample, and outcomes under any circuit; roles in the order harmful, near, far."""

    def __init__(self, scenario: Scenario, n: int, rng: np.random.Generator) -> None:
        self.truth, self.n, self.rng = scenario, n, rng
        self.category = np.arange(n) % len(CATEGORY)
        self.by = CATEGORY[self.category]
        self.fragile = heavy(rng, n)
        self.topic = 0.5 * self.by + heavy(rng, n)
        self.own = heavy(rng, n, 3)
        self.nll = 2.5 + 0.3 * self.by[:, None] + 0.3 * heavy(rng, n, 1) + 0.2 * heavy(rng, n, 3)
        skewed = rng.gamma(2, 1, size=(n, 3)) - 2
        self.information = scenario.information * (1 + 0.3 * self.by[:, None]) + 0.25 * skewed

    def rises(self, selectivity: float, draws: int = 1) -> np.ndarray:
        """[draw, triple, role]: what all circuits do to a triple, what this one does to it, and the error of a reading."""
        rng = self.rng
        rise = 0.1 * self.fragile[:, None] + 0.05 * heavy(rng, draws, self.n, 1) + 0.1 * heavy(rng, draws, self.n, 3)
        own = selectivity + 0.0 * rng.normal(size=(draws, 1))  # one draw, so that the numbers of earlier runs stay
        rise[..., 0] += own * (1 + 0.5 * self.by) + 0.05 * self.by
        return rise + np.array([0.15, 0.15, 0.03])

    def recognition(self, fall: float | None) -> np.ndarray:
        """[triple, role]; None: of the baseline."""
        own = self.own if fall is None else HELD * self.own + np.sqrt(1 - HELD**2) * heavy(self.rng, self.n, 3)
        return self.topic[:, None] + own + np.array([self.truth.gap - (fall or 0.0), 0, 0])

    def condition(self, rise: np.ndarray, fall: float | None) -> Arrays:
        """Outcomes as `Outcomes.by_triple` gives them; of the request information 0.9 are retained."""
        noise = 0.1 * heavy(self.rng, self.n, 3)
        information = self.information if fall is None else 0.9 * self.information + noise
        nll, calm = self.nll + rise, np.zeros((self.n, 3))
        return {"nll": nll, "nll_other": nll + information, "in_place": self.recognition(fall), "degenerate": calm}


@dataclass(frozen=True, eq=False)
class Sample:
    """Outcomes of one simulated set of triples: the baseline, and under the circuit."""

    world: World
    baseline: Arrays
    ablated: Arrays


def simulate(scenario: Scenario, n: int, seed: int) -> Sample:
    """Draw `n` triples from the scenario."""
    world = World(scenario, n, np.random.default_rng([seed, n]))
    baseline = world.condition(np.zeros((n, 3)), None)
    return Sample(world, baseline, world.condition(world.rises(scenario.selectivity)[0], scenario.fall))


@cache
def aurocs(scenario: Scenario, n: int = 200_000) -> tuple[float, float]:
    """The true AUROC of the baseline and its change under the circuit, from so many triples."""
    world = World(scenario, n, np.random.default_rng(7))
    before, after = (world.recognition(fall)[:, :2].T for fall in (None, scenario.fall))
    baseline = float(hs.auroc(*before))
    return baseline, float(hs.auroc(*after)) - baseline


def scenarios(*, triples: int = 200_000) -> Mapping[str, Scenario]:
    """Those above, with the falls that change the AUROC (of so many triples) by exactly the margin."""

    def found(truth: Scenario) -> Scenario:
        beyond = lambda fall: aurocs(replace(truth, fall=fall), triples)[1] + MARGIN
        return replace(truth, fall=brentq(beyond, 0.05, 3.0, xtol=1e-3))

    return {name: truth if truth.fall == truth.fall else found(truth) for name, truth in SCENARIOS.items()}
