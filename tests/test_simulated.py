"""A small version of benchmarks/simulated.py: what its numbers must be, and that a broken test would show in them."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harmcircuits import statistics as hs

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
simulated = pytest.importorskip("simulated", reason="the benchmarks are not part of an installed package")
from simulated_outcomes import SCENARIOS, Scenario, World, scenarios, simulate  # noqa: E402

N = 48


@pytest.fixture(scope="module")
def no_effect():
    """Runs in which no circuit does anything in particular."""
    return [simulate(SCENARIOS["no effect"], N, seed) for seed in range(120)]


class TestWorld:
    def test_the_truth_is_the_mean_of_many_triples(self):
        world = World(Scenario((), selectivity=0.2), 80_000, np.random.default_rng(0))
        rise = world.rises(0.2)[0]
        assert (rise[:, 0] - rise[:, 1]).mean() == pytest.approx(0.2, abs=0.005)
        assert world.information.mean() == pytest.approx(0.8, abs=0.01)
        assert np.corrcoef(rise[:, 0], rise[:, 1])[0, 1] > 0.3  # roles of a triple rise together
        assert rise[world.category == 7, 0].mean() - rise[world.category == 0, 0].mean() > 0.1  # categories differ


class TestErrors:
    def test_no_test_rejects_much_more_often_than_it_may(self, no_effect):
        found = [dict(simulated.rejected(run)) for run in no_effect]
        for name in found[0]:
            assert np.mean([one[name] for one in found]) <= 0.12, name

    def test_intervals_hold_the_truth(self, no_effect):
        truth = {"selectivity": 0.0, "information": 0.8}
        for name, value in truth.items():
            held = [simulated.holds(getattr(run.evidence, name), value) for run in no_effect]
            assert 0.88 <= np.mean(held) <= 0.995, name

    def test_nothing_is_not_called_dissociated(self, no_effect):
        assert np.mean([run.verdict.word == "dissociated" for run in no_effect]) <= 0.05

    def test_two_readings_of_a_triple_are_not_two_triples(self, no_effect):
        """A broken test: what belongs to one triple drawn apart. Its intervals are too short, and it rejects too often."""
        apart = []
        for run in no_effect:
            rise = run.changed["nll"] - run.intact["nll"]
            twice = np.repeat(rise[:, 0] - rise[:, 1], 2) + np.random.default_rng(run.world.n).normal(0, 0.01, 2 * N)
            apart.append(hs.mean_estimate(twice, draws=400).excludes(0))
        assert np.mean(apart) > 0.12


@pytest.mark.parametrize(
    ("scenario", "n", "least"),
    [
        ("dissociated", 96, 4),
        ("shared effect", 96, 4),
        ("recognition at chance", 96, 6),
        ("insensitive recognition test", 96, 7),
        ("recognition at the ceiling", 96, 4),
    ],
)
def test_the_word_is_found(scenario, n, least):
    truth = SCENARIOS[scenario]
    words = [simulate(truth, n, seed).verdict.word for seed in range(8)]
    assert words.count(truth.right[0]) >= least
    assert set(words) <= set(truth.right)


def test_too_few_triples_do_not_decide_and_say_why():
    runs = [simulate(SCENARIOS["shared effect"], 12, seed) for seed in range(8)]
    untestable = [run for run in runs if run.evidence.recognition is not None and not run.evidence.recognition.testable]
    assert untestable
    for run in untestable:
        assert any("not testable, n = 12" in reason for reason in run.verdict.reasons)


def test_every_stage_gives_shares_with_intervals():
    known = scenarios(triples=2_000)
    rows = simulated.errors(known, 24, 4) + simulated.words({"no effect": known["no effect"]}, 24, 3)
    rows += simulated.methods(known["no effect"], 24, 2) + simulated.promised(24, 3)
    assert {row["kind"] for row in rows} == {"false positives", "coverage", "words", "coverage by method", "promised power"}
    assert all(row["low"] <= row["value"] <= row["high"] and row["n"] > 0 for row in rows)


def test_the_benchmark_saves_its_picture(tmp_path):
    rows = simulated.power(24, 3)
    simulated.draw(rows, tmp_path)
    assert len(list(tmp_path.glob("power.*"))) == 1
    shown = pd.DataFrame(rows)
    assert (shown[shown["effect"] == 1.0]["value"] >= shown[shown["effect"] == 0.0]["value"].max()).all()
