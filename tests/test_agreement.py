"""`Attribution.compare`: known answers on drawn scores, intervals that hold, and what is refused."""

import numpy as np
import pytest
import scipy.stats
import torch
from drawn import one, traces
from written import written

from harmcircuits.attribution.activations import attribute
from harmcircuits.attribution.scores import Attribution, AttributionError
from harmcircuits.statistics import (
    Estimate,
    StatisticsError,
    pearson,
    slope,
    spearman,
    spearman_brown,
    standard_interval,
    times_needed,
    top_overlap,
)


def drawn(n: int = 12, *, layers: int = 3, heads: int = 5, d_mlp: int = 20, seed: int = 0, tokens: int = 0) -> Attribution:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)
    each = tuple(torch.zeros(tokens, 2) for _ in range(n)) if tokens else ()
    return Attribution(draw(n, layers, heads), draw(n, layers, d_mlp), each)


def changed(scores: Attribution, change) -> Attribution:
    return Attribution(change(scores.per_example_heads), change(scores.per_example_neurons))


# statistics


def test_correlations_are_scipys():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 4, 30)).round(1)  # rounded: there are ties
    for row in range(4):
        assert pearson(a, b)[row] == pytest.approx(scipy.stats.pearsonr(a[row], b[row]).statistic)
        assert spearman(a, b)[row] == pytest.approx(scipy.stats.spearmanr(a[row], b[row]).statistic)
        assert slope(a, b)[row] == pytest.approx(scipy.stats.linregress(b[row], a[row]).slope)
    flat = np.full(30, 0.1)
    assert all(np.isnan(statistic(a[0], flat)) for statistic in (pearson, spearman, slope))


def test_overlap_counts_what_tops_share():
    a, b = np.array([9, 8, 7, 1, 0, 0.0]), np.array([9, 0, 7, 8, 0, 1.0])
    assert [float(top_overlap(a, b, k)) for k in (1, 2, 3, 6)] == [1, 0.5, pytest.approx(2 / 3), 1]
    for k in (0, 7):
        with pytest.raises(StatisticsError, match="k lies between 1 and 6"):
            top_overlap(a, b, k)
    random = np.random.default_rng(0).normal(size=(2, 2000, 50))
    assert top_overlap(*random, 10).mean() == pytest.approx(10 / 50, abs=0.01), "chance is k / n"


def test_spearman_brown_and_its_inverse():
    for r in (0.05, 0.4, 0.8):
        assert spearman_brown(r, times_needed(r, 0.9)) == pytest.approx(0.9)
        assert spearman_brown(spearman_brown(r, 3), 2) == pytest.approx(spearman_brown(r, 6)), "three times, then twice"
    assert np.isnan([spearman_brown(0, 2), spearman_brown(-0.5, 2), times_needed(0, 0.9), times_needed(-0.1, 0.9)]).all()
    with pytest.raises(StatisticsError, match="target reliability lies between 0 and 1"):
        times_needed(0.5, 1)


def test_an_interval_stays_within_a_correlations_range_and_around_its_value():
    draws = np.random.default_rng(0).normal(0.7, 0.05, 400)  # to one side, as draws of noisy means are
    found = standard_interval(0.95, draws, n=20, scale="correlation")
    assert found.low < 0.95 < found.high < 1
    assert standard_interval(1.0, np.ones(100), n=20, scale="correlation").low == pytest.approx(1)
    plain = standard_interval(0.95, draws, n=20)
    assert (plain.high - 0.95) == pytest.approx(1.96 * draws.std(ddof=1), rel=1e-3)
    assert standard_interval(0.5, draws, n=2) == Estimate(0.5, n=2)
    assert standard_interval(np.nan, draws, n=20).is_missing
    assert standard_interval(0.5, np.where(np.arange(400) < 40, np.nan, draws), n=20).is_missing
    with pytest.raises(StatisticsError, match="at least 39 draws, not 38"):
        standard_interval(0.5, draws[:38], n=20)


# known answers


def test_scores_agree_with_themselves():
    agreement = drawn().compare(drawn())
    for kind, n in ((agreement.heads, 15), (agreement.neurons, 60)):
        assert kind.n == n and kind.same_sign == kind.same_sign_top == 1 and kind.same_sign_chance < 0.7
        assert (kind.spearman.value, kind.pearson.value, kind.slope.value) == pytest.approx((1, 1, 1))
        assert kind.slope.low == kind.slope.high == pytest.approx(1), "a draw takes the same examples from both"
        assert kind.spearman.low == pytest.approx(1) and kind.overlaps and all(top.share == 1 for top in kind.overlaps)
    assert agreement.over == "examples" and agreement.n_examples == (12, 12)


def test_scores_against_their_double_and_their_opposite():
    scores = drawn()
    double = scores.compare(changed(scores, lambda part: 2 * part)).neurons
    assert double.slope.value == pytest.approx(0.5) and double.pearson.value == pytest.approx(1)
    opposite = scores.compare(changed(scores, lambda part: -part)).neurons
    assert opposite.spearman.value == pytest.approx(-1) and opposite.same_sign == 0
    assert all(top.share == 0 for top in opposite.overlaps if top.k < 20)


def test_every_number_by_hand():
    own, other = drawn(seed=1), drawn(seed=2)
    other = Attribution(own.per_example_heads + other.per_example_heads, other.per_example_neurons)
    a, b = (side.heads.double().numpy().ravel() for side in (own, other))
    found = own.compare(other, k=[4, 0.2]).heads
    assert found.spearman.value == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-5)
    assert found.pearson.value == pytest.approx(scipy.stats.pearsonr(a, b).statistic, abs=1e-5)
    assert found.same_sign == pytest.approx(((a > 0) == (b > 0)).mean())
    p, q = (a > 0).mean(), (b > 0).mean()
    assert found.same_sign_chance == pytest.approx(p * q + (1 - p) * (1 - q))
    largest = np.argsort(-abs(b))[:10]
    assert found.n_top == 10 and found.same_sign_top == pytest.approx(((a > 0) == (b > 0))[largest].mean())
    for top, k in zip(found.overlaps, (3, 4), strict=True):
        both = {*np.argsort(-a)[:k]} & {*np.argsort(-b)[:k]}
        assert (top.k, top.share, top.chance) == (k, len(both) / k, k / 15)


def test_signs_at_the_top_are_those_of_the_largest_on_the_other_side():
    own, other = drawn(seed=1), drawn(seed=2)
    a, b = (side.neurons.numpy().ravel() for side in (own, other))
    shares = [((a > 0) == (b > 0))[np.argsort(-abs(side))[:10]].mean() for side in (b, a)]
    found = own.compare(other).neurons.same_sign_top
    assert found == pytest.approx(shares[0]) and found != pytest.approx(shares[1])


def test_tops_hold_no_component_that_does_not_promote():
    scores = drawn()
    few = scores.heads.flatten().argsort(descending=True)[:2]
    lowered = scores.per_example_heads.flatten(1) - 10
    lowered[:, few] += 20
    found = scores.compare(Attribution(lowered.reshape(12, 3, 5), scores.per_example_neurons), k=(10, 0.1)).heads
    assert [(top.k, top.share) for top in found.overlaps] == [(2, 1.0)], "only two have A > 0 on both sides"
    none = scores.compare(changed(scores, lambda part: -part.abs()), k=10)
    assert none.heads.overlaps == ()


def test_only_what_both_measured_is_compared():
    own, other = drawn(), drawn(seed=3)
    own.per_example_heads[:, 0, 1], other.per_example_heads[:, 2, 4] = torch.nan, torch.nan
    other.per_example_neurons[:] = torch.nan
    other.per_example_neurons[:, 1, :4] = 1.0 + torch.arange(4)
    agreement = own.compare(other)
    assert (agreement.heads.n, agreement.neurons.n) == (13, 4)
    heads = agreement.points[agreement.points["kind"] == "heads"]
    assert {(0, 1), (2, 4)}.isdisjoint(zip(heads["layer"], heads["index"], strict=True)) and len(agreement.points) == 17
    for row in agreement.points.itertuples():
        assert row.first == pytest.approx(float(getattr(own, row.kind)[row.layer, row.index]), abs=1e-6)
        assert row.second == pytest.approx(float(getattr(other, row.kind)[row.layer, row.index]), abs=1e-6)
    other.per_example_neurons[:] = torch.nan
    without = own.compare(other)
    assert without.neurons is None and set(without.table()["kind"]) == {"heads"}
    other.per_example_neurons[:, 0, :3] = 0.5
    assert own.compare(other).neurons.spearman.is_missing, "equal scores have no ranks"


# what the intervals resample


def test_intervals_over_examples_move_with_the_examples_alone():
    """Two identical sides: over examples nothing moves. Over components a correlation of 1 does not either."""
    truth = drawn(1, d_mlp=200).per_example_neurons
    noise = lambda seed, n: torch.randn(n, 3, 200, generator=torch.Generator().manual_seed(seed))
    side = lambda seed, n: Attribution(drawn(n).per_example_heads, truth + noise(seed, n))
    few, many = (side(1, n).compare(side(2, n)).neurons.spearman for n in (8, 200))
    width = lambda estimate: estimate.high - estimate.low
    assert width(few) > 2 * width(many) and few.n == 8 and many.n == 200


def test_the_interval_holds_the_scatter_of_other_samples():
    """Ninety-five of a hundred samples as large should fall near where the interval of one says."""
    truth = torch.randn(1, 4, 10, generator=torch.Generator().manual_seed(9))

    def sample(seed: int) -> Attribution:
        random = torch.Generator().manual_seed(seed)
        draw = lambda: truth + 2 * torch.randn(16, 4, 10, generator=random)
        return Attribution(draw(), draw())

    def compared(seed: int):
        both = sample(seed)
        return both.compare(Attribution(both.per_example_neurons, both.per_example_heads)).heads.pearson

    found = [compared(seed) for seed in range(60)]
    spread = np.arctanh([estimate.value for estimate in found]).std(ddof=1)
    said = np.mean([np.arctanh(estimate.high) - np.arctanh(estimate.low) for estimate in found]) / (2 * 1.96)
    assert 0.7 < said / spread < 1.5


def test_other_numbers_of_examples_resample_components():
    own, other = drawn(12), drawn(7, seed=1)
    agreement = own.compare(other)
    assert agreement.over == "components" and agreement.n_examples == (12, 7) and agreement.heads.pearson.n == 15
    assert "intervals over components" in repr(agreement)
    with pytest.raises(AttributionError, match=r'not 12 and 7: leave out over=, or say over="components"'):
        own.compare(other, over="examples")
    assert own.compare(drawn(12, seed=1), over="components").over == "components"


def test_tokens_that_say_that_examples_differ_are_believed():
    assert drawn(tokens=5).compare(drawn(tokens=5)).over == "examples"
    assert drawn(tokens=5).compare(drawn(tokens=6)).over == "components"
    assert drawn(tokens=5).compare(drawn()).over == "examples", "exact scores have none"


def test_the_same_seed_gives_the_same_intervals():
    one_, two, three = (drawn().compare(drawn(seed=1), seed=seed).table() for seed in (0, 0, 1))
    assert one_.equals(two) and not one_.equals(three)


# tables, figures, errors


def test_the_table_has_a_row_for_each_measure():
    agreement = drawn().compare(drawn(seed=1), k=[3, 10])
    table = agreement.table()
    measures = ["spearman", "pearson", "slope", "same sign", "same sign, largest |A|", "overlap of tops", "overlap of tops"]
    assert table["measure"].tolist() == 2 * measures
    tops = table[table["measure"] == "overlap of tops"]
    assert (tops["chance"] == tops["k"] / tops["n"]).all() and (table["n"] == [15] * 7 + [60] * 7).all()
    row = table[(table["kind"] == "heads") & (table["measure"] == "pearson")].iloc[0]
    estimate = agreement.heads.pearson
    assert (row["value"], row["low"], row["high"]) == (estimate.value, estimate.low, estimate.high)


def test_the_figure_has_every_point_and_the_names():
    agreement = drawn().compare(drawn(seed=1), names=("first order", "exact"))
    figure = agreement.figure()
    shown = sum(len(trace.x) for trace in figure.data if trace.mode == "markers")
    assert shown == 15 + 60 and figure.layout.xaxis.title.text == "exact: A (nats per token)"
    assert "first order" in figure.layout.yaxis2.title.text and "Spearman" in figure.layout.meta["alt"]
    assert repr(agreement).startswith("Agreement(15 heads: Spearman ") and len(repr(agreement)) < 140
    assert one(traces(figure, "equal scores", "lines")[:1]).x == one(traces(figure, "equal scores", "lines")[:1]).y


def test_what_cannot_be_compared():
    with pytest.raises(AttributionError, match=r"not of the same model: heads have the shapes \[3, 5\] and \[3, 6\]"):
        drawn().compare(drawn(heads=6))
    with pytest.raises(AttributionError, match=r"not of the same model: neurons have the shapes"):
        drawn().compare(drawn(d_mlp=21))
    with pytest.raises(AttributionError, match="no component was measured on both sides"):
        drawn().compare(changed(drawn(), lambda part: part * torch.nan))
    for k in (0, 1.5, -2, 0.0):
        with pytest.raises(AttributionError, match=r"k counts components .* or is a fraction of them .* not"):
            drawn().compare(drawn(seed=1), k=k)


def test_scores_of_a_model_against_those_of_its_rounded_self(tiny):
    examples = written(tiny.tokenizer)
    scores = attribute(tiny, examples)
    rounded = changed(scores, lambda part: part.bfloat16().float())
    agreement = scores.compare(rounded)
    assert agreement.over == "examples" and agreement.heads.n == 8 and agreement.neurons.n == 128
    assert agreement.heads.pearson.value > 0.9999 and agreement.neurons.same_sign == 1
    assert agreement.heads.slope.value == pytest.approx(1, abs=0.01)
