"""`Attribution.compare`: known answers on drawn scores, intervals that hold, and what is refused."""

import numpy as np
import pytest
import scipy.stats
import torch

from harmcircuits.attribution.scores import Attribution
from harmcircuits.errors import HarmcircuitsError


def drawn(n: int = 12, *, layers: int = 3, heads: int = 5, d_mlp: int = 20, seed: int = 0) -> Attribution:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)
    return Attribution(draw(n, layers, heads), draw(n, layers, d_mlp))


def changed(scores: Attribution, change) -> Attribution:
    return Attribution(change(scores.per_example_heads), change(scores.per_example_neurons))


# known answers


def of(table, kind):
    return table[table["kind"] == kind].set_index("measure")


def test_scores_agree_with_themselves():
    agreement = drawn().compare(drawn())
    for kind, n in (("heads", 15), ("neurons", 60)):
        rows = of(agreement, kind)
        assert (rows["n"] == n).all() and rows["value"].tolist() == pytest.approx([1] * 4)
        assert rows["low"]["slope"] == rows["high"]["slope"] == pytest.approx(1), "a draw takes the same examples from both"
        assert rows["low"]["spearman"] == pytest.approx(1) and rows["chance"]["overlap of tops"] == rows["k"].max() / n


def test_every_number_by_hand():
    first, second = drawn(seed=1), drawn(seed=2)
    second = Attribution(first.per_example_heads + second.per_example_heads, second.per_example_neurons)
    a, b = (side.heads.double().numpy().ravel() for side in (first, second))
    rows = of(first.compare(second, k=4), "heads")
    assert rows["value"]["spearman"] == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-5)
    assert rows["value"]["pearson"] == pytest.approx(scipy.stats.pearsonr(a, b).statistic, abs=1e-5)
    assert rows["value"]["slope"] == pytest.approx(scipy.stats.linregress(b, a).slope, abs=1e-5)
    common = len({*np.argsort(-a)[:4]} & {*np.argsort(-b)[:4]}) / 4
    assert rows["value"]["overlap of tops"] == common and rows["k"]["overlap of tops"] == 4


def test_only_what_both_measured_is_compared():
    first, second = drawn(), drawn(seed=3)
    first.per_example_heads[:, 0, 1], second.per_example_heads[:, 2, 4] = torch.nan, torch.nan
    second.per_example_neurons[:] = torch.nan
    assert set(first.compare(second)["kind"]) == {"heads"} and set(first.compare(second)["n"]) == {13}
    second.per_example_neurons[:, 0, :3] = 0.5
    equal = of(first.compare(second), "neurons")
    assert np.isnan(equal["value"]["spearman"]) and equal["n"].eq(3).all(), "equal scores have no ranks"


# what the intervals resample


def test_intervals_over_examples_move_with_the_examples_alone():
    """Two identical sides: over examples nothing moves. Over components a correlation of 1 does not either."""
    truth = drawn(1, d_mlp=200).per_example_neurons
    noise = lambda seed, n: torch.randn(n, 3, 200, generator=torch.Generator().manual_seed(seed))
    side = lambda seed, n: Attribution(drawn(n).per_example_heads, truth + noise(seed, n))
    tables = (of(side(1, n).compare(side(2, n)), "neurons").loc["spearman"] for n in (8, 200))
    few, many = (row["high"] - row["low"] for row in tables)
    assert few > 2 * many


def test_the_interval_holds_the_scatter_of_other_samples():
    """Ninety-five of a hundred samples as large should fall near where the interval of one says."""
    truth = torch.randn(1, 4, 10, generator=torch.Generator().manual_seed(9))

    def sample(seed: int) -> Attribution:
        random = torch.Generator().manual_seed(seed)
        draw = lambda: truth + 2 * torch.randn(16, 4, 10, generator=random)
        return Attribution(draw(), draw())

    def compared(seed: int):
        both = sample(seed)
        return of(both.compare(Attribution(both.per_example_neurons, both.per_example_heads)), "heads").loc["pearson"]

    found = [compared(seed) for seed in range(60)]
    spread = np.arctanh([row["value"] for row in found]).std(ddof=1)
    said = np.mean([np.arctanh(row["high"]) - np.arctanh(row["low"]) for row in found]) / (2 * 1.96)
    assert 0.7 < said / spread < 1.5


def test_other_numbers_of_examples_have_no_interval():
    pearson = of(drawn(12).compare(drawn(7, seed=1)), "heads").loc["pearson"]
    assert np.isfinite(pearson["value"]) and np.isnan(pearson["low"])


# errors


def test_what_cannot_be_compared():
    with pytest.raises(HarmcircuitsError, match="models of different shape"):
        drawn().compare(drawn(heads=6))
    with pytest.raises(HarmcircuitsError, match="models of different shape"):
        drawn().compare(drawn(d_mlp=21))
    with pytest.raises(HarmcircuitsError, match="no component was measured on both sides"):
        drawn().compare(changed(drawn(), lambda part: part * torch.nan))
    with pytest.raises(HarmcircuitsError, match="k is 0: it counts components"):
        drawn().compare(drawn(seed=1), k=0)
