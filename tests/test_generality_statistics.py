"""Statistics of generality on scores, rises and circuits made by hand: one shared mechanism, and separate ones."""

from typing import Any

import numpy as np
import pytest
import torch

from harmcircuits.attribution.scores import Attribution
from harmcircuits.claims.earlier import ClaimError
from harmcircuits.claims.generality.decision import Evidence, decide, sentence
from harmcircuits.claims.generality.overlaps import excess
from harmcircuits.claims.generality.plan import plan
from harmcircuits.claims.generality.swaps import swapped_overlaps
from harmcircuits.claims.generality.transfer import Transfer, across, ratio_across
from harmcircuits.components import Circuit
from harmcircuits.experiments.scores import Scores
from harmcircuits.selection.protected import SelectionError, select
from harmcircuits.statistics import Estimate

OPTIONS: dict[str, Any] = {"draws": 200, "seed": 0}


def transfer(matrix: np.ndarray, counts: tuple[int, ...] = (6, 12), noise: float = 0.01) -> Transfer:
    """Selectivity `matrix`[selected, tested] on so many triples of each group; the near rise is 0.25 everywhere."""
    groups = [f"g{at}" for at, count in enumerate(counts) for _ in range(count)]
    random, rises = np.random.default_rng(0), {}
    for row, name in enumerate(dict.fromkeys(groups)):
        own = np.array([matrix[row, int(group[1:])] for group in groups]) + noise * random.normal(size=len(groups))
        rises[name] = np.stack([own + 0.25, np.full(len(groups), 0.25), np.zeros(len(groups))], 1)
    return Transfer(rises, groups, groups)


def test_cells_and_means_are_those_of_the_matrix_each_group_counting_alike() -> None:
    given = transfer(np.array([[0.8, 0.2], [0.4, 0.6]]))
    names = ("g0", "g1")
    cells = {(one, other): given.row(one, given.rises[one], other, OPTIONS) for one in names for other in names}
    assert cells["g1", "g0"]["selectivity"] == pytest.approx(0.4, abs=0.02)
    assert cells["g1", "g0"]["ratio"] == pytest.approx(0.5, abs=0.03) and cells["g1", "g0"]["n"] == 6
    assert cells["g0", "g1"]["harmful"] == pytest.approx(0.45, abs=0.02)
    assert cells["g0", "g1"]["near"] == pytest.approx(0.25)
    mean = lambda values: across(values, given.groups, OPTIONS).value
    assert mean(given.diagonal()) == pytest.approx(0.7, abs=0.01), "not 0.667, the mean over triples"
    assert mean(given.off_diagonal()) == pytest.approx(0.3, abs=0.01)
    assert ratio_across(given.off_diagonal(), given.diagonal(), given.groups, OPTIONS).value == pytest.approx(3 / 7, abs=0.02)


def test_a_group_without_a_circuit_is_left_out_of_the_means() -> None:
    whole = transfer(np.array([[0.8, 0.2, 0.2], [0.4, 0.6, 0.2], [9, 9, 9]]), counts=(4, 4, 4))
    lacking = Transfer({name: whole.rises[name] for name in ("g0", "g1")}, whole.groups, whole.groups)
    found = across(lacking.diagonal(), lacking.groups, OPTIONS)
    assert found.value == pytest.approx(0.7, abs=0.01) and found.n == 8


def some(value: float, *, around: float = 0.05) -> Estimate:
    return Estimate(value, value - around, value + around, 40)


def decided(diagonal: float, off: float, random: float = 0.0, p: float | None = 0.02, over: float = 0.2) -> str:
    p_value = Estimate.missing("too few draws") if p is None else Estimate(p, n=39)
    ratio = some(off / diagonal, around=0.1) if diagonal > 0.05 else Estimate.missing("the denominator is 0")
    parts = {"diagonal": some(diagonal), "off_diagonal": some(off), "beyond": some(off - random), "ratio": ratio}
    return decide(Evidence(**parts, excess=Estimate(over, n=40), p_value=p_value))


def test_the_decision_follows_its_rule() -> None:
    assert decided(0.4, 0.36) == "yes"
    assert decided(0.4, 0.01) == "no"
    assert decided(0.03, 0.03) == "cannot be measured", "not even its own group"
    assert decided(0.4, 0.12) == "undecided", "less than half transfers, but more than matched random circuits have"
    assert decided(0.4, 0.12, random=0.1) == "no"
    assert decided(0.4, 0.36, random=0.35) == "undecided", "random circuits do as much"
    assert decided(0.4, 0.36, p=0.2) == decided(0.4, 0.36, p=None) == decided(0.4, 0.36, over=-0.1) == "undecided"
    nothing = Estimate.missing("no circuit")
    assert decide(Evidence(**dict.fromkeys(Evidence.__annotations__, nothing))) == "cannot be measured"


@pytest.mark.parametrize("found", ["yes", "no", "undecided", "cannot be measured"])
def test_the_sentence_says_what_was_found_with_its_numbers(found: Any) -> None:
    evidence = Evidence(**dict.fromkeys(Evidence.__annotations__, some(0.321)))
    said = sentence(evidence, found, n_groups=4)
    assert "0.321 [0.271, 0.371]" in said and said.endswith(".") and "4 kinds" in said


def test_the_excess_of_an_overlap_is_that_beyond_the_twins() -> None:
    circuit = lambda *neurons: Circuit(neurons=[(0, at) for at in neurons])
    found = {
        ("harmful", "a"): circuit(1, 2), ("harmful", "b"): circuit(2, 3),
        ("near", "a"): circuit(3, 7), ("near", "b"): circuit(8, 9),
    }  # fmt: skip
    assert excess(found, "a", "b") == pytest.approx(1 / 3 - (0 + 1 / 3) / 2)  # type: ignore[arg-type]
    assert np.isnan(excess({**found, ("near", "c"): circuit(1)}, "a", "c"))  # type: ignore[dict-item]


def attributed(*shape: int, generator: torch.Generator) -> Attribution:
    """With many zeros, so that equal scores are taken in their order."""
    heads, neurons = (torch.randn(shape[0], 2, n, generator=generator) for n in shape[1:])
    return Attribution(heads * (torch.rand(2, shape[1], generator=generator) < 0.7), neurons * (neurons.abs() > 1))


@pytest.mark.parametrize("protect", [{"heads": 0.2, "neurons": 0.1}, {"heads": 0.0, "neurons": 0.75}])
def test_many_draws_of_swapped_labels_are_those_of_select_one_by_one(protect: dict[str, float]) -> None:
    generator, sizes, draws = torch.Generator().manual_seed(0), {"heads": 1, "neurons": 5}, 40
    make = lambda n: attributed(n, 5, 30, generator=generator)
    groups = [Scores(make(n), make(n), make(n), None) for n in (5, 4)]
    found = swapped_overlaps(groups, sizes=sizes, protect=protect, draws=draws, seed=3)
    random = np.random.default_rng(3)
    coins = [random.random((draws, group.harmful.n_examples)) < 0.5 for group in groups]
    for draw in range(draws):
        chosen = [_selected(group, own[draw], sizes, protect) for group, own in zip(groups, coins, strict=True)]
        chosen += [_selected(group, ~own[draw], sizes, protect) for group, own in zip(groups, coins, strict=True)]
        for at, one in enumerate(chosen):
            for other, two in enumerate(chosen):
                expected = np.nan if one is None or two is None else one.jaccard(two)
                assert found[draw, at, other] == pytest.approx(expected, nan_ok=True)
    assert 0 < np.isnan(found).mean() < 0.8, "some draws leave too few components"


def _selected(scores: Scores, swap: np.ndarray, sizes: dict[str, int], protect: dict[str, float]) -> Circuit | None:
    both, places = scores.harmful + scores.near, np.arange(len(swap))
    aimed, other = (both[(places + len(swap) * own).tolist()] for own in (swap, ~swap))
    try:
        return select(aimed, protect=other + scores.far, protect_fraction=protect, **sizes)
    except SelectionError:
        return None


def test_a_plan_falls_back_to_categories() -> None:
    four = [(f"h{at // 2}", f"c{at}") for at in range(4)]
    by_group, by_category = plan(four, four), plan([("h", c) for _, c in four], [("h", c) for _, c in four])
    assert by_group.groups == ("h0", "h1") and by_category.groups == ("c0", "c1", "c2", "c3")
    with pytest.raises(ClaimError, match=r"only 'c0' has both .* at least two .* Give prompts"):
        plan([("h", "c0"), ("h", "c1")], [("h", "c0")])
