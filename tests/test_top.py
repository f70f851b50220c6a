"""The components with the largest scores, as a table to be read."""

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.attribution.scores import Attribution, AttributionError
from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.statistics import mean_estimate


def drawn(n: int = 12, *, seed: int = 0) -> Attribution:
    generator = torch.Generator().manual_seed(seed)
    heads, neurons = (torch.randn(n, *shape, generator=generator) + 0.5 for shape in ((3, 4), (3, 9)))
    return Attribution(heads, neurons)


def weights() -> WeightAttribution:
    generator = torch.Generator().manual_seed(3)
    signed = {f"blocks.{layer}.mlp.out": torch.randn(4, 5, generator=generator) for layer in range(2)}
    return WeightAttribution(signed, {name: scores.abs() + 1 for name, scores in signed.items()}, 6)


@given(k=st.integers(1, 60), seed=st.integers(0, 3), sign=st.sampled_from(["promotes", "hinders"]))
def test_rows_are_the_largest_of_all_components(k: int, seed: int, sign: str) -> None:
    scores = drawn(seed=seed)
    factor = 1 if sign == "promotes" else -1
    every = torch.cat([scores.heads.flatten(), scores.neurons.flatten()]) * factor
    expected = every[every > 0].sort(descending=True).values[:k]
    found = scores.table(k, sign=sign)
    torch.testing.assert_close(torch.tensor(found["score"].to_numpy() * factor, dtype=torch.float32), expected)
    kinds = {"head": scores.heads, "neuron": scores.neurons}
    for row in found.itertuples():
        assert row.score == pytest.approx(float(kinds[row.kind][row.layer, row.index]))


def test_intervals_are_the_bootstrap_over_examples() -> None:
    scores = drawn()
    row = scores.table(1, kind="heads").iloc[0]
    own = scores.per_example_heads[:, row["layer"], row["index"]].numpy()
    expected = mean_estimate(own, draws=2000, seed=0)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert row["unsigned"] == pytest.approx(abs(own).mean()) and row["low"] < row["score"] < row["high"]


def test_components_have_readable_names_and_columns_stay_whatever_is_found() -> None:
    scores = drawn()
    heads, neurons = scores.table(2, kind="heads"), scores.table(2, kind="neurons")
    assert list(heads["component"]) == [f"L{row.layer}H{row.index}" for row in heads.itertuples()]
    assert list(neurons["component"]) == [f"neuron {row.layer}.{row.index}" for row in neurons.itertuples()]
    none = Attribution(-torch.ones(3, 1, 2), -torch.ones(3, 1, 2)).table(4)
    assert none.empty and list(none.columns) == list(heads.columns)
    assert list(heads.dtypes) == list(none.astype(heads.dtypes).dtypes)


def test_what_was_not_measured_is_in_no_table() -> None:
    scores = drawn()
    scores.per_example_heads[:, 1] = torch.nan
    found = pd.concat([scores.table(100, kind="heads"), scores.table(100, kind="heads", sign="hinders")])
    assert set(found["layer"]) <= {0, 2} and found["score"].notna().all()


@pytest.mark.parametrize("matrix", [None, "blocks.1.mlp.out"])
@pytest.mark.parametrize("sign", ["promotes", "hinders"])
def test_the_top_of_the_weights_is_that_of_the_whole_matrices(matrix: str | None, sign: str) -> None:
    W = weights()
    factor = 1 if sign == "promotes" else -1
    flat = torch.cat([scores.flatten() for name, scores in W.signed.items() if matrix in (None, name)]) * factor
    found = W.top(7, matrix=matrix, sign=sign)
    assert found["score"].tolist() == [factor * value for value in flat[flat > 0].sort(descending=True).values[:7].tolist()]
    for row in found.itertuples():
        assert float(W.signed[row.matrix][row.row, row.column]) == row.score
        assert float(W.absolute[row.matrix][row.row, row.column]) == row.unsigned
        assert row.weight == f"{row.matrix}[{row.row}, {row.column}]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k=0.*ask for at least 1"),
        ({"kind": "head"}, 'kind \'head\' is unknown: "heads" or "neurons"'),
        ({"sign": "up"}, "sign='up'"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict, message: str) -> None:
    with pytest.raises(AttributionError, match=message):
        drawn().table(**options)
