"""`Attribution`: parts, tables and files of scores. No model."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harmcircuits.attribution.scores import Attribution, AttributionError


def drawn(n: int = 5, *, layers: int = 2, heads: int = 3, d_mlp: int = 7, seed: int = 0) -> Attribution:
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random)
    return Attribution(draw(n, layers, heads), draw(n, layers, d_mlp), tuple(draw(4 + index, 2) for index in range(n)))


def same(one: Attribution, two: Attribution) -> bool:
    equal = [torch.equal(a, b) for a, b in zip(one.tokens, two.tokens, strict=True)]
    parts = ("per_example_heads", "per_example_neurons")
    return all(equal) and all(torch.equal(getattr(one, part), getattr(two, part)) for part in parts)


def test_saved_scores_come_back(tmp_path):
    scores = drawn()
    scores.save(tmp_path / "scores.safetensors")
    assert same(Attribution.load(tmp_path / "scores.safetensors"), scores)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.safetensors"]


def test_files_that_hold_no_attribution(tmp_path):
    with pytest.raises(AttributionError, match=r"cannot read .*none\.safetensors"):
        Attribution.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not scores")
    with pytest.raises(AttributionError, match=r"cannot read .*text\.safetensors.*Save the attribution again"):
        Attribution.load(tmp_path / "text.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(AttributionError, match=r"weights\.safetensors holds no attribution"):
        Attribution.load(tmp_path / "weights.safetensors")
    scores = tmp_path / "cut.safetensors"
    drawn().save(scores)
    scores.write_bytes(scores.read_bytes()[:-8])
    with pytest.raises(AttributionError, match=r"cannot read .*cut\.safetensors"):
        Attribution.load(scores)


def test_some_of_the_examples():
    scores = drawn()
    some = scores[[3, 0, 3]]
    assert torch.equal(some.per_example_heads, scores.per_example_heads[[3, 0, 3]])
    assert torch.equal(some.per_example_neurons, scores.per_example_neurons[[3, 0, 3]])
    assert [len(part) for part in some.tokens] == [7, 4, 7] and some.n_examples == 3
    mask = torch.tensor([True, False, False, True, False])
    assert same(scores[mask], scores[[0, 3]]) and same(scores[mask.tolist()], scores[[0, 3]])
    assert same(scores[torch.tensor([1])] + scores[[0]], scores[[1, 0]])


def test_examples_put_together():
    one, two = drawn(2), drawn(3, seed=1)
    both = one + two
    assert same(both[[0, 1]], one) and same(both[[2, 3, 4]], two)
    assert torch.allclose(both.heads, (2 * one.heads + 3 * two.heads) / 5)


def test_the_figure_shows_the_means_and_the_name_the_sizes():
    scores = drawn()
    assert np.asarray(scores.figure().data[0].z, dtype=float) == pytest.approx(scores.heads.numpy())
    assert repr(scores) == "Attribution(5 examples, 2 layers × 3 heads, 2 × 7 neurons)"


def test_what_was_not_measured_is_left_out_of_tables(tmp_path):
    scores = drawn()
    scores.per_example_heads[:, 0, 1] = torch.nan
    scores = Attribution(scores.per_example_heads, scores.per_example_neurons)  # without tokens, as exact scores are
    scores.save(tmp_path / "some.safetensors")
    again = Attribution.load(tmp_path / "some.safetensors")
    assert torch.equal(again.per_example_heads.nan_to_num(7), scores.per_example_heads.nan_to_num(7))
    assert (again.measured["heads"] == torch.tensor([[True, False, True], [True] * 3])).all()
    assert again.measured["neurons"].all() and again.tokens == () == (again + again).tokens == again[[0]].tokens
    table = again.table(100)
    assert not table["score"].isna().any() and "L0H1" not in set(table["component"])
    with pytest.raises(AttributionError, match="have no tokens"):
        again.per_token(0)
