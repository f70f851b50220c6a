"""Outcomes of a run drawn from a known truth: intact, under the circuit, under the other circuits, and under both nulls.

Errors have Student's t distribution with 5 degrees of freedom, a triple's roles share its topic, all circuits share what makes
a triple fragile, and eight categories differ in all of it. `benchmarks/simulated.py` counts what is made of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.optimize import brentq

from harmcircuits import statistics as hs
from harmcircuits.experiments.evidence import gather
from harmcircuits.experiments.nulls import KINDS, Nulls
from harmcircuits.experiments.settings import Settings
from harmcircuits.experiments.verdict import Evidence, Verdict, judge

SETTINGS = replace(Settings(), bootstrap_draws=400)
CATEGORY = np.linspace(-1, 1, 8)
"""What the eight categories differ by; every sample has as many triples of each."""
HELD = 0.85
"""Correlation of what each prompt's recognition owes to itself, before and after an ablation."""
OF_THE_MARGIN = float("nan")
"""A fall that changes the AUROC by exactly the margin; `scenarios` finds it."""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """The truth of a simulated model: rises in nats per token, recognition on a scale of standard deviations.

    `right`: the words that are no error, the first being the one to be found with enough triples. `selectivity`: of the
    circuit; `of_all`: of every circuit, drawn ones too; `differ`: standard deviation over circuits. `gap`: of harmful requests
    over near twins; `fall`: of it under the circuit, `aimed` under the one aimed at recognition. `idle`: that one is a draw
    like the rest.
    """

    right: tuple[str, ...]
    selectivity: float = 0.0
    of_all: float = 0.0
    differ: float = 0.0
    information: float = 0.8
    gap: float = 1.8
    fall: float = 0.0
    aimed: float = 1.0
    idle: bool = False


SCENARIOS = {
    "no effect": Scenario(("undecided",)),
    "no effect, aimed circuit idle": Scenario(("insensitive", "undecided"), idle=True),
    "no effect, circuits differ": Scenario(("undecided",), differ=0.05),
    "harmful text is fragile": Scenario(("undecided",), of_all=0.1),
    "dissociated": Scenario(("dissociated", "undecided"), selectivity=0.12),
    "shared effect": Scenario(("shared", "undecided"), selectivity=0.12, fall=1.0),
    "fall of the margin": Scenario(("undecided", "shared"), selectivity=0.12, fall=OF_THE_MARGIN),
    "fall of the margin near the ceiling": Scenario(
        ("undecided", "shared"), selectivity=0.12, gap=4.5, fall=OF_THE_MARGIN, aimed=3.5
    ),
    "recognition at chance": Scenario(("cannot be measured", "undecided", "insensitive"), selectivity=0.12, gap=0.0, aimed=0.0),
    "text that ignores the request": Scenario(("cannot be measured", "undecided"), selectivity=0.12, information=0.0),
    "recognition at the ceiling": Scenario(("dissociated", "undecided"), selectivity=0.12, gap=7.0, aimed=6.0),
    "insensitive recognition test": Scenario(("insensitive", "undecided"), selectivity=0.12, aimed=0.0),
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
        rng, truth = self.rng, self.truth
        rise = 0.1 * self.fragile[:, None] + 0.05 * heavy(rng, draws, self.n, 1) + 0.1 * heavy(rng, draws, self.n, 3)
        own = selectivity + truth.of_all + truth.differ * rng.normal(size=(draws, 1))
        rise[..., 0] += own * (1 + 0.5 * self.by) + 0.05 * self.by
        return rise + np.array([0.15, 0.15, 0.03])

    def recognition(self, fall: float | None) -> np.ndarray:
        """[triple, role]; None: of the intact model."""
        own = self.own if fall is None else HELD * self.own + np.sqrt(1 - HELD**2) * heavy(self.rng, self.n, 3)
        return self.topic[:, None] + own + np.array([self.truth.gap - (fall or 0.0), 0, 0])

    def condition(self, rise: np.ndarray, fall: float | None) -> Arrays:
        """Outcomes as `Outcomes.by_triple` gives them; of the request information 0.9 are retained."""
        noise = 0.1 * heavy(self.rng, self.n, 3)
        information = self.information if fall is None else 0.9 * self.information + noise
        nll, calm = self.nll + rise, np.zeros((self.n, 3))
        return {"nll": nll, "nll_other": nll + information, "in_place": self.recognition(fall), "degenerate": calm}


@dataclass(frozen=True, eq=False)
class Run:
    """One simulated run: what went in, and what came out."""

    world: World
    intact: Arrays
    changed: Arrays
    evidence: Evidence
    verdict: Verdict


def simulate(scenario: Scenario, n: int, seed: int, *, settings: Settings = SETTINGS, bare: bool = False) -> Run:
    """A run on `n` triples drawn from the scenario, judged as a run on a model is.

    `bare`: without nulls and controls but for an idle aimed circuit, where only other parts of the evidence are looked at.
    """
    world = World(scenario, n, np.random.default_rng([seed, n]))
    at = min(n, settings.null_triples)
    intact = world.condition(np.zeros((n, 3)), None)
    changed = world.condition(world.rises(scenario.selectivity)[0], scenario.fall)
    aimed = world.condition(world.rises(0.0)[0], scenario.fall if scenario.idle else scenario.aimed)
    random = world.condition(world.rises(0.0)[0], 0.0)
    rises = {kind: world.rises(0.0, settings.null_draws)[:, :at, :2] for kind in KINDS}
    nulls = Nulls((changed["nll"] - intact["nll"])[:at, :2], rises)
    controls = (aimed if scenario.idle else None, None, None) if bare else (aimed, random, nulls)
    evidence = gather(
        intact, changed, *controls, primary="in_place", reading="simulated", settings=replace(settings, seed=seed),
        no_aimed="not simulated", strata=[str(one) for one in world.category],
    )  # fmt: skip
    return Run(world, intact, changed, evidence, judge(evidence, name="circuit"))


@cache
def aurocs(scenario: Scenario, n: int = 200_000) -> tuple[float, float]:
    """The true AUROC of the intact model and its change under the circuit, from so many triples."""
    world = World(scenario, n, np.random.default_rng(7))
    before, after = (world.recognition(fall)[:, :2].T for fall in (None, scenario.fall))
    intact = float(hs.auroc(*before))
    return intact, float(hs.auroc(*after)) - intact


def scenarios(*, triples: int = 200_000) -> Mapping[str, Scenario]:
    """Those above, with the falls that change the AUROC (of so many triples) by exactly the margin."""

    def found(truth: Scenario) -> Scenario:
        beyond = lambda fall: aurocs(replace(truth, fall=fall), triples)[1] + SETTINGS.margin
        return replace(truth, fall=brentq(beyond, 0.05, 3.0, xtol=1e-3))

    return {name: truth if truth.fall == truth.fall else found(truth) for name, truth in SCENARIOS.items()}
