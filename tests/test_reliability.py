"""`Attribution.split_half` and `reliability_between`: known reliabilities, curves, and what is refused."""

import numpy as np
import pytest
import torch

from harmcircuits.attribution.reliability import reliability_between
from harmcircuits.attribution.scores import Attribution, AttributionError
from harmcircuits.statistics import StatisticsError, pearson, spearman_brown


def noisy(
    n: int = 32, *, noise: float = 1.0, signal: float = 1.0, layers: int = 10, heads: int = 20, d_mlp: int = 100, seed: int = 0
) -> Attribution:
    """A true score of variance `signal`² a component, and noise of variance `noise`² on every example."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.Generator().manual_seed(99)
    draw = lambda width: (
        signal * torch.randn(1, layers, width, generator=truth) + noise * torch.randn(n, layers, width, generator=random)
    )
    return Attribution(draw(heads), draw(d_mlp))


# known answers


@pytest.mark.parametrize(("noise", "n"), [(2.0, 32), (4.0, 64), (1.0, 9)])
def test_halves_correlate_as_their_variances_say(noise, n):
    kind = noisy(n, noise=noise).split_half().neurons
    half = n // 2
    expected = 1 / (1 + noise**2 / half)
    assert kind.half == half and kind.between_halves() == pytest.approx(expected, abs=0.04)
    assert kind.whole["pearson"] == pytest.approx(1 / (1 + noise**2 / n), abs=0.04), "the whole by Spearman and Brown"
    assert kind.between_halves("spearman") == pytest.approx(kind.between_halves(), abs=0.05)


def test_the_whole_predicts_another_sample():
    first, second = noisy(32, noise=3), noisy(32, noise=3, seed=1)
    between = float(pearson(first.neurons.flatten().numpy(), second.neurons.flatten().numpy()))
    assert first.split_half().neurons.whole["pearson"] == pytest.approx(between, abs=0.05)


def test_the_curve_follows_spearman_and_brown():
    curve = noisy(64, noise=4).split_half().curve
    own = curve[(curve["kind"] == "neurons") & (curve["measure"] == "pearson")]
    assert own["examples"].tolist() == [1, 2, 4, 8, 16, 32]
    for row in own.itertuples():
        assert row.value == pytest.approx(1 / (1 + 16 / row.examples), abs=0.04)
        assert row.low <= row.value <= row.high
    odd = noisy(13).split_half().curve
    assert odd.loc[odd["kind"] == "heads", "examples"].unique().tolist() == [1, 2, 4, 6]


def test_examples_needed_reach_the_target():
    kind = noisy(32, noise=4).split_half().neurons
    needed = kind.examples_needed(0.9)
    assert needed == pytest.approx(9 * 16, rel=0.25), "r = 1 / (1 + 16 / n) is 0.9 at n = 144"
    assert spearman_brown(kind.between_halves(), needed / 16) >= 0.9 > spearman_brown(kind.between_halves(), (needed - 1) / 16)
    assert kind.examples_needed(0.5) < needed < kind.examples_needed(0.99)
    ranks = Attribution(*(part**5 for part in (noisy(32).per_example_heads, noisy(32).per_example_neurons))).split_half().heads
    assert ranks.between_halves("spearman") > ranks.between_halves() + 0.1, "large scores are noisy, ranks are not"
    assert ranks.examples_needed(measure="spearman") < ranks.examples_needed() / 1.5
    with pytest.raises(StatisticsError, match="target reliability"):
        kind.examples_needed(1.0)


def test_halves_that_do_not_agree_promise_nothing():
    each = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    opposed = each - each.mean(0)  # any half is the other's opposite
    scores = Attribution(opposed, opposed.repeat(1, 1, 2))
    kind = scores.split_half(draws=20).heads
    assert kind.between_halves() == pytest.approx(-1)
    assert kind.whole == {"pearson": None, "spearman": None} and kind.examples_needed() is None
    table = scores.split_half(draws=20).table()
    assert table.loc[table["measure"].str.startswith("examples for"), "value"].isna().all()
    scores.split_half(draws=20).figure()
    flat = Attribution(torch.ones(4, 3, 5), torch.zeros(4, 3, 5)).split_half(draws=5)
    assert np.isnan(flat.heads.between_halves()) and flat.heads.whole["pearson"] is None
    assert flat.heads.discovered == flat.heads.beyond_two == 1 and flat.neurons.discovered == flat.neurons.beyond_two == 0


def test_halves_are_disjoint():
    """One example that outweighs all others is in one half alone: halves cannot agree on it."""
    scores = noisy(8, noise=1, signal=0)
    scores.per_example_heads[0] *= 1000
    kind = scores.split_half(draws=50).heads
    assert abs(kind.between_halves()) < 0.1


def test_the_top_of_halves_overlaps_as_chance_says_without_signal():
    reliability = noisy(32, signal=0).split_half(draws=200)
    kind = reliability.neurons
    assert kind.k == 10 and kind.between_halves("overlap") == pytest.approx(10 / 1000, abs=0.015)
    table = reliability.table()
    assert table.loc[table["measure"] == "overlap of the top 10 between halves", "chance"].tolist() == [10 / 200, 10 / 1000]
    assert noisy(32, noise=0.1).split_half().neurons.between_halves("overlap") > 0.7


def test_signal_to_noise_against_chance():
    nothing, much = (noisy(16, noise=1, signal=signal).split_half(draws=3).neurons for signal in (0.0, 3.0))
    assert nothing.beyond_two == pytest.approx(nothing.beyond_two_chance, abs=0.025)
    assert nothing.beyond_two_chance == pytest.approx(0.0639, abs=1e-3), "Student's t with 15 degrees of freedom"
    assert nothing.discovered < 0.01 < 0.8 < much.discovered <= much.beyond_two


def test_unmeasured_components_are_left_out():
    scores = noisy(8)
    scores.per_example_heads[:, 0] = torch.nan
    assert scores.split_half(draws=3).heads.n == 180
    scores.per_example_heads[:] = torch.nan
    reliability = scores.split_half(draws=3)
    assert reliability.heads is None and set(reliability.curve["kind"]) == {"neurons"} == set(reliability.table()["kind"])


def test_the_same_seed_gives_the_same_halves():
    one, two, three = (noisy(8).split_half(draws=5, seed=seed).curve for seed in (0, 0, 1))
    assert one.equals(two) and not one.equals(three)


# tables, figures, errors


def test_the_table_and_the_name():
    reliability = noisy(16).split_half(draws=10)
    table = reliability.table()
    assert len(table) == 2 * 9 and not table["value"].isna().any()
    row = table[(table["kind"] == "neurons") & (table["measure"] == "pearson between halves")].iloc[0]
    assert row["value"] == reliability.neurons.between_halves() and row["low"] <= row["value"] <= row["high"]
    assert repr(reliability).startswith("Reliability(16 examples: heads 0.9") and len(repr(reliability)) < 100


@pytest.mark.parametrize("measure", ["pearson", "spearman"])
def test_the_figure_draws_the_curve_and_goes_on(measure):
    reliability = noisy(16, noise=6).split_half(draws=10)
    figure = reliability.figure(measure=measure, target=0.8)
    lines = {trace.name: trace for trace in figure.data if trace.mode == "markers+lines"}
    own = reliability.curve[(reliability.curve["measure"] == measure) & (reliability.curve["kind"] == "neurons")]
    assert list(lines["neurons"].y) == own["value"].tolist()
    beyond = [trace for trace in figure.data if trace.name == "extrapolated"]
    assert len(beyond) == 2 and beyond[1].y[0] == pytest.approx(own["value"].iloc[-1])
    assert max(beyond[1].x) >= reliability.neurons.examples_needed(0.8, measure=measure)
    assert figure.layout.yaxis.title.text == f"{measure.title()}'s correlation"


def test_too_few():
    with pytest.raises(AttributionError, match="at least 4 examples, two a half, not 3"):
        noisy(3).split_half()
    with pytest.raises(AttributionError, match="draws is 0"):
        noisy(8).split_half(draws=0)
    nothing = Attribution(torch.full((4, 2, 2), torch.nan), torch.full((4, 2, 2), torch.nan))
    with pytest.raises(AttributionError, match="no component was measured"):
        nothing.split_half()
    assert noisy(4).split_half(draws=3).heads.half == 2


# between seeds


def test_agreement_between_seeds():
    runs = [noisy(16, noise=4, seed=seed) for seed in range(3)]
    table = reliability_between(runs).set_index(["kind", "measure"])
    row = table.loc[("neurons", "pearson")]
    assert row["mean"] == pytest.approx(0.5, abs=0.05) and row["pairs"] == 3 and row["lowest"] <= row["mean"] <= row["highest"]
    assert row["mean_of_all"] == pytest.approx(spearman_brown(row["mean"], 3)) and row["n"] == 1000
    assert np.allclose(row["matrix"], row["matrix"].T) and np.allclose(np.diag(row["matrix"]), 1)
    a, b = (run.neurons.flatten().numpy() for run in runs[:2])
    assert row["matrix"][0, 1] == pytest.approx(float(np.corrcoef(a, b)[0, 1]))


def test_seeds_that_cannot_be_compared():
    with pytest.raises(AttributionError, match="at least two attributions, not 1"):
        reliability_between([noisy(4)])
    with pytest.raises(AttributionError, match="not of one model: heads"):
        reliability_between([noisy(4), noisy(4, heads=3)])
    one, two = noisy(4), noisy(4, seed=1)
    one.per_example_heads[:] = torch.nan
    assert set(reliability_between([one, two])["kind"]) == {"neurons"}
    two.per_example_neurons[:] = torch.nan
    with pytest.raises(AttributionError, match="no component was measured in all"):
        reliability_between([one, two])
