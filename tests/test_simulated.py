"""A small version of benchmarks/simulated.py: what its numbers must be, and that a broken test would show in them."""

import sys
from pathlib import Path

import numpy as np
import pytest

from harmcircuits import statistics as hs

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
simulated = pytest.importorskip("simulated", reason="the benchmarks are not part of an installed package")
from simulated_outcomes import SCENARIOS, Scenario, World, scenarios, simulate  # noqa: E402

N = 48


@pytest.fixture(scope="module")
def no_effect():
    """Samples in which no circuit does anything in particular."""
    return [simulate(SCENARIOS["no effect"], N, seed) for seed in range(120)]


def test_the_truth_is_the_mean_of_many_triples():
    world = World(Scenario(selectivity=0.2), 80_000, np.random.default_rng(0))
    rise = world.rises(0.2)[0]
    assert (rise[:, 0] - rise[:, 1]).mean() == pytest.approx(0.2, abs=0.005)
    assert world.information.mean() == pytest.approx(0.8, abs=0.01)
    assert np.corrcoef(rise[:, 0], rise[:, 1])[0, 1] > 0.3  # roles of a triple rise together
    assert rise[world.category == 7, 0].mean() - rise[world.category == 0, 0].mean() > 0.1  # categories differ


def test_no_test_rejects_much_more_often_than_it_may(no_effect):
    found = [dict(simulated.rejected(sample)) for sample in no_effect]
    for name in found[0]:
        assert np.mean([one[name] for one in found]) <= 0.12, name


def test_intervals_hold_the_truth(no_effect):
    found = [dict(simulated.covered(sample)) for sample in no_effect]
    for name in ("selectivity", "mean (request information, skewed)"):
        assert 0.88 <= np.mean([one[name] for one in found]) <= 0.995, name


def test_two_readings_of_a_triple_are_not_two_triples(no_effect):
    """A broken test: what belongs to one triple drawn apart. Its intervals are too short, and it rejects too often."""
    apart = []
    for sample in no_effect:
        rise = sample.ablated["nll"] - sample.baseline["nll"]
        twice = np.repeat(rise[:, 0] - rise[:, 1], 2) + np.random.default_rng(N).normal(0, 0.01, 2 * N)
        apart.append(hs.mean_estimate(twice, draws=400).excludes(0))
    assert np.mean(apart) > 0.12


def test_every_stage_gives_shares_with_intervals():
    known = scenarios(triples=2_000)
    rows = simulated.errors(known, 24, 4) + simulated.methods(known["no effect"], 24, 2) + simulated.promised(24, 3)
    assert {"coverage", "coverage by method", "promised power"} <= {row["kind"] for row in rows}
    assert all(row["low"] <= row["value"] <= row["high"] and row["n"] > 0 for row in rows)
