"""`Attribution.compare`: known answers on drawn scores, intervals that hold, and what is refused."""

import numpy as np
import pytest
import scipy.stats
import torch
from written import written

from harmcircuits.attribution.first_order import attribute
from harmcircuits.attribution.scores import Attribution
from harmcircuits.errors import HarmcircuitsError


def drawn(n: int = 12, *, layers: int = 3, heads: int = 5, d_mlp: int = 20, seed: int = 0) -> Attribution:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)
    return Attribution(draw(n, layers, heads), draw(n, layers, d_mlp))


def changed(scores: Attribution, change) -> Attribution:
    return Attribution(change(scores.per_example_heads), change(scores.per_example_neurons))


# known answers


def test_scores_agree_with_themselves():
    agreement = drawn().compare(drawn())
    for kind, n in ((agreement.heads, 15), (agreement.neurons, 60)):
        assert kind.n == n
        assert (kind.spearman.value, kind.pearson.value, kind.slope.value) == pytest.approx((1, 1, 1))
        assert kind.slope.low == kind.slope.high == pytest.approx(1), "a draw takes the same examples from both"
        assert kind.spearman.low == pytest.approx(1) and kind.shared == 1


def test_scores_against_their_double_and_their_opposite():
    scores = drawn()
    double = scores.compare(changed(scores, lambda part: 2 * part)).neurons
    assert double.slope.value == pytest.approx(0.5) and double.pearson.value == pytest.approx(1)
    opposite = scores.compare(changed(scores, lambda part: -part)).neurons
    assert opposite.spearman.value == pytest.approx(-1) and opposite.shared == 0


def test_every_number_by_hand():
    own, other = drawn(seed=1), drawn(seed=2)
    other = Attribution(own.per_example_heads + other.per_example_heads, other.per_example_neurons)
    a, b = (side.heads.double().numpy().ravel() for side in (own, other))
    found = own.compare(other, k=4).heads
    assert found.spearman.value == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-5)
    assert found.pearson.value == pytest.approx(scipy.stats.pearsonr(a, b).statistic, abs=1e-5)
    assert found.slope.value == pytest.approx(scipy.stats.linregress(b, a).slope, abs=1e-5)
    assert found.shared == len({*np.argsort(-a)[:4]} & {*np.argsort(-b)[:4]}) / 4 and found.k == 4


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


def test_other_numbers_of_examples_have_no_interval():
    pearson = drawn(12).compare(drawn(7, seed=1)).heads.pearson
    assert pearson.value is not None and pearson.low is None


# figures, errors


def test_the_figure_has_every_point_and_the_names():
    agreement = drawn().compare(drawn(seed=1), names=("first order", "exact"))
    figure = agreement.figure()
    shown = sum(len(trace.x) for trace in figure.data if trace.mode == "markers")
    assert shown == 15 + 60 and figure.layout.xaxis.title.text == "exact: A (nats per token)"
    assert "first order" in figure.layout.yaxis2.title.text and "Spearman" in figure.layout.annotations[0].text
    assert repr(agreement).startswith("Agreement(15 heads: Spearman ") and len(repr(agreement)) < 140
    assert all((line.x0, line.x1) == (line.y0, line.y1) for line in figure.layout.shapes)


def test_what_cannot_be_compared():
    with pytest.raises(HarmcircuitsError, match="models of different shape"):
        drawn().compare(drawn(heads=6))
    with pytest.raises(HarmcircuitsError, match="models of different shape"):
        drawn().compare(drawn(d_mlp=21))
    with pytest.raises(HarmcircuitsError, match="no component was measured on both sides"):
        drawn().compare(changed(drawn(), lambda part: part * torch.nan))
    with pytest.raises(HarmcircuitsError, match="k is 0: it counts components"):
        drawn().compare(drawn(seed=1), k=0)


def test_scores_of_a_model_against_those_of_its_rounded_self(tiny):
    examples = written(tiny.tokenizer)
    scores = attribute(tiny, examples)
    rounded = changed(scores, lambda part: part.bfloat16().float())
    agreement = scores.compare(rounded)
    assert agreement.heads.n == 8 and agreement.neurons.n == 128
    assert agreement.heads.pearson.value > 0.9999
    assert agreement.heads.slope.value == pytest.approx(1, abs=0.01)
