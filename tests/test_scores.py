"""Scores: parts, tables of the largest, and files. No model."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.attribution.scores import Attribution
from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.circuits.selection import select
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.statistics import mean_estimate


def drawn(n: int = 5, *, layers: int = 2, heads: int = 3, d_mlp: int = 7, seed: int = 0) -> Attribution:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)
    return Attribution(draw(n, layers, heads), draw(n, layers, d_mlp))


def same(one: Attribution, two: Attribution) -> bool:
    parts = ("per_example_heads", "per_example_neurons")
    return all(torch.equal(getattr(one, part), getattr(two, part)) for part in parts)


def test_some_of_the_examples():
    scores = drawn()
    some = scores[[3, 0, 3]]
    assert torch.equal(some.per_example_heads, scores.per_example_heads[[3, 0, 3]])
    assert torch.equal(some.per_example_neurons, scores.per_example_neurons[[3, 0, 3]])
    assert some.n_examples == 3
    mask = torch.tensor([True, False, False, True, False])
    assert same(scores[mask], scores[[0, 3]]) and same(scores[mask.tolist()], scores[[0, 3]])
    assert same(scores[torch.tensor([1])] + scores[[0]], scores[[1, 0]])
    assert same(scores[3], scores[[3]]) and same(scores[-1], scores[[4]]) and same(scores[:2], scores[[0, 1]])
    assert all(same(one, scores[index]) for index, one in enumerate(scores)) and len(list(scores)) == 5
    with pytest.raises(HarmcircuitsError, match=r"A\[\(1, 2\)\]: an index names examples.*A\.heads\[layer, head\]"):
        scores[1, 2]


def test_the_figure_shows_the_means_and_marks_the_circuit():
    scores = drawn()
    assert np.asarray(scores.figure().data[0].z, dtype=float) == pytest.approx(scores.heads.numpy())
    benign = drawn(seed=1)
    circuit = select(scores, protect=benign, heads=1)
    drawing = scores.figure(circuit=circuit, protect=benign)
    marks = {trace.name: set(zip(trace.y.tolist(), trace.x.tolist(), strict=True)) for trace in drawing.data[1:]}
    assert marks["selected (1)"] == {*circuit.heads} and drawing.layout.showlegend is not False
    largest = benign.heads_abs.flatten().topk(3).indices
    assert marks["protected (3)"] == {divmod(int(at), 3) for at in largest}, "half of the heads, those of largest U"


def test_what_was_not_measured_is_left_out_of_tables(tmp_path):
    scores = drawn()
    scores.per_example_heads[:, 0, 1] = torch.nan
    scores.save(tmp_path / "some.safetensors")
    again = Attribution.load(tmp_path / "some.safetensors")
    assert torch.equal(again.per_example_heads.nan_to_num(7), scores.per_example_heads.nan_to_num(7))
    assert torch.equal(again.per_example_neurons, scores.per_example_neurons)
    assert (again.measured["heads"] == torch.tensor([[True, False, True], [True] * 3])).all()
    assert again.measured["neurons"].all()
    for sign in ("promotes", "hinders"):
        table = again.table(100, sign=sign)
        assert table["score"].notna().all() and "L0H1" not in set(table["component"])


# tables


def weights() -> WeightAttribution:
    generator = torch.Generator().manual_seed(3)
    signed = {f"blocks.{layer}.mlp.out": torch.randn(4, 5, generator=generator) for layer in range(2)}
    return WeightAttribution(signed, {name: scores.abs() + 1 for name, scores in signed.items()}, 6)


@given(k=st.integers(1, 60), seed=st.integers(0, 3), sign=st.sampled_from(["promotes", "hinders"]))
def test_rows_are_the_largest_of_all_components(k: int, seed: int, sign: str) -> None:
    scores = drawn(12, seed=seed)
    factor = 1 if sign == "promotes" else -1
    every = torch.cat([scores.heads.flatten(), scores.neurons.flatten()]) * factor
    expected = every[every > 0].sort(descending=True).values[:k]
    found = scores.table(k, sign=sign)
    torch.testing.assert_close(torch.tensor(found["score"].to_numpy() * factor, dtype=torch.float32), expected)
    kinds = {"head": scores.heads, "neuron": scores.neurons}
    for row in found.itertuples():
        assert row.score == pytest.approx(float(kinds[row.kind][row.layer, row.index]))


def test_intervals_are_the_bootstrap_over_examples() -> None:
    scores = drawn(12)
    row = scores.table(1, kind="heads").iloc[0]
    own = scores.per_example_heads[:, row["layer"], row["index"]].numpy()
    expected = mean_estimate(own, draws=2000, seed=0)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert row["unsigned"] == pytest.approx(abs(own).mean()) and row["low"] < row["score"] < row["high"]


def test_components_have_readable_names_and_columns_stay_whatever_is_found() -> None:
    scores = drawn(12)
    heads, neurons = scores.table(2, kind="heads"), scores.table(2, kind="neurons")
    assert list(heads["component"]) == [f"L{row.layer}H{row.index}" for row in heads.itertuples()]
    assert list(neurons["component"]) == [f"L{row.layer}N{row.index}" for row in neurons.itertuples()]
    none = Attribution(-torch.ones(3, 1, 2), -torch.ones(3, 1, 2)).table(4)
    assert none.empty and list(none.columns) == list(heads.columns)
    assert list(heads.dtypes) == list(none.astype(heads.dtypes).dtypes)


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
    with pytest.raises(HarmcircuitsError, match=message):
        drawn(12).table(**options)
