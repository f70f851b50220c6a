"""Statistics of generality on scores, rises and circuits made by hand: one shared mechanism, and separate ones."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.attribution.scores import Attribution
from harmcircuits.claims.claim import ClaimError
from harmcircuits.claims.generality.decision import Evidence, decide, sentence
from harmcircuits.claims.generality.overlaps import excess
from harmcircuits.claims.generality.plan import plan
from harmcircuits.claims.generality.swaps import swapped_overlaps
from harmcircuits.claims.generality.transfer import Transfer, across, left_out, ratio_across, rows_of
from harmcircuits.components import Circuit
from harmcircuits.experiments.scores import Scores
from harmcircuits.selection.protected import SelectionError, select
from harmcircuits.statistics import Estimate, StatisticsError
from harmcircuits.statistics.mechanisms import beyond, cosines, leading, sharing

CATEGORIES, EACH, WIDE = 4, 8, 40
LABELS = [f"c{at // EACH}" for at in range(CATEGORIES * EACH)]
OPTIONS: dict[str, Any] = {"draws": 200, "seed": 0}


def scores(*, common: float, own: float, noise: float = 0.5, seed: int = 0) -> np.ndarray:
    """[triple, component]: a direction for all, one for each category, and noise."""
    random = np.random.default_rng(seed)
    every, each = np.eye(WIDE)[0], np.eye(WIDE)[1 : 1 + CATEGORIES]
    rows = np.repeat(np.arange(CATEGORIES), EACH)
    return common * every + own * each[rows] + noise / np.sqrt(WIDE) * random.normal(size=(len(rows), WIDE))


def test_one_mechanism_is_shared_wholly_and_no_permutation_tells_it_from_one() -> None:
    found = sharing(cosines(scores(common=1, own=0)), LABELS, draws=200)
    assert found.shared.value == pytest.approx(1, abs=0.03) and found.shared.low <= 1 <= found.shared.high
    assert found.p_value.value > 0.05 and found.participation_p.value > 0.05
    assert found.participation.value < 1.1 and found.first.value > 0.95


def test_separate_mechanisms_share_nothing() -> None:
    found = sharing(cosines(scores(common=0, own=1)), LABELS, draws=200)
    assert found.shared.value == pytest.approx(0, abs=0.05) and found.shared.high < 0.2
    assert found.p_value.value == found.participation_p.value == pytest.approx(0.001)
    assert found.participation.value > 3.5 > found.permuted.high and found.first.value < 0.4


def test_half_and_half_is_a_half_whatever_the_noise() -> None:
    """The cosines themselves fall with noise; their ratio is that of the mechanisms: 1² / (1² + 1²)."""
    quiet, loud = (sharing(cosines(scores(common=1, own=1, noise=noise)), LABELS, draws=200) for noise in (0.1, 2.0))
    assert quiet.within.value > 1.5 * loud.within.value
    assert quiet.shared.value == pytest.approx(0.5, abs=0.02) and loud.shared.value == pytest.approx(0.5, abs=0.1)


def test_noise_alone_has_nothing_to_share() -> None:
    found = sharing(cosines(scores(common=0, own=0, seed=3)), LABELS, draws=200)
    assert found.shared.is_missing and "do not agree beyond chance" in str(found.shared.reason)


def test_a_p_value_of_one_mechanism_is_below_a_twentieth_in_a_twentieth_of_samples() -> None:
    low = [
        sharing(cosines(scores(common=1, own=0, noise=3, seed=seed)), LABELS, draws=39, permutations=99).p_value.value <= 0.05
        for seed in range(100)
    ]
    assert sum(low) <= 12, "of 100, 5 expected; 12 or more have a probability of 0.004"


def test_beyond_a_twin_nothing_of_what_twins_share_counts_nor_what_the_twin_has_alone() -> None:
    target, twin = scores(common=0, own=1), np.zeros((len(LABELS), WIDE))
    twin[:, 20] = 1  # the twins have a mechanism of their own, the same in all categories
    shift = np.zeros(WIDE)
    shift[30] = 1  # and share one with the target
    apart = sharing(beyond(target + shift, twin + shift), LABELS, draws=200)
    assert apart.shared.value == pytest.approx(0, abs=0.1)
    alike = sharing(beyond(twin + shift, target + shift), LABELS, draws=200)
    assert alike.shared.value == pytest.approx(1, abs=0.1)
    of_differences = sharing(cosines(target - twin), LABELS, draws=200)
    assert of_differences.shared.value > 0.4, "the twins' mechanism would pass for a shared one of the targets"


def test_a_triple_is_never_compared_with_itself() -> None:
    found = sharing(np.eye(len(LABELS)), LABELS, draws=200)
    assert (found.within.value, found.within.low, found.within.high, found.between.value) == (0, 0, 0, 0)


@given(st.permutations(range(len(LABELS))))
def test_the_order_of_triples_does_not_matter(order: list[int]) -> None:
    values = scores(common=1, own=1)
    one, other = (
        sharing(cosines(own), labels, draws=39, permutations=0)
        for own, labels in ((values, LABELS), (values[order], [LABELS[at] for at in order]))
    )
    for name in ("within", "between", "participation", "first"):
        assert getattr(one, name).value == pytest.approx(getattr(other, name).value)


@pytest.mark.parametrize(("labels", "why"), [(["a"] * 4, "fewer than two categories"), (list("abcd"), "no category has two")])
def test_what_cannot_be_compared_is_missing_with_its_reason(labels: list[str], why: str) -> None:
    found = sharing(np.eye(4), labels)
    assert found.shared.is_missing and why in str(found.shared.reason) and found.participation.is_missing


def test_leading_components_are_chosen_and_scaled_without_the_categories() -> None:
    values = scores(common=1, own=1)
    kept = leading(values, 5)
    np.testing.assert_allclose((kept**2).mean(0), 1)
    np.testing.assert_allclose(leading(values[::-1], 5), kept[::-1])
    with pytest.raises(StatisticsError, match="finite"):
        leading([[np.nan]], 1)
    with pytest.raises(StatisticsError, match="one a triple"):
        sharing(np.eye(3), ["a", "b"])


def transfer(matrix: np.ndarray, counts: tuple[int, ...] = (6, 12), noise: float = 0.01) -> Transfer:
    """Selectivity `matrix`[selected, tested] on so many triples of each group; the near rise is 0.25 everywhere."""
    groups = [f"g{at}" for at, count in enumerate(counts) for _ in range(count)]
    random, rises = np.random.default_rng(0), {}
    for row, name in enumerate(dict.fromkeys(groups)):
        own = np.array([matrix[row, int(group[1:])] for group in groups]) + noise * random.normal(size=len(groups))
        rises[name] = np.stack([own + 0.25, np.full(len(groups), 0.25), np.zeros(len(groups))], 1)
    return Transfer("harmful", rises, groups, groups)


def test_cells_and_means_are_those_of_the_matrix_each_group_counting_alike() -> None:
    given = transfer(np.array([[0.8, 0.2], [0.4, 0.6]]))
    cells = {(row["selected"], row["tested"]): row for row in rows_of(given, given.rises, OPTIONS, grain="g", kind="k")}
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
    lacking = Transfer("harmful", {name: whole.rises[name] for name in ("g0", "g1")}, whole.groups, whole.groups)
    found = across(lacking.diagonal(), lacking.groups, OPTIONS)
    assert found.value == pytest.approx(0.7, abs=0.01) and found.n == 8


def test_what_leaving_a_category_out_costs_is_told_by_category() -> None:
    labels = ["a"] * 5 + ["b"] * 5
    rises = lambda size: np.stack([np.full(10, size), np.zeros(10), np.zeros(10)], 1) + np.linspace(0, 0.01, 10)[:, None]
    frame, means = left_out(labels, {"a": rises(0.3), "b": rises(0.1)}, rises(0.4), OPTIONS)
    np.testing.assert_allclose(frame["left_out"], [0.3, 0.1])
    np.testing.assert_allclose(frame["difference"], [-0.1, -0.3])
    assert means["left_out"].value == pytest.approx(0.2) and means["left_out_share"].value == pytest.approx(0.5)


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
    said = sentence(evidence, found, some(0.9), n_groups=4)
    assert "0.321 [0.271, 0.371]" in said and said.endswith(".") and "4 kinds" in said


def test_the_excess_of_an_overlap_is_that_beyond_the_twins() -> None:
    circuit = lambda *neurons: Circuit(neurons=[(0, at) for at in neurons])
    found = {
        ("harmful", "a"): circuit(1, 2), ("harmful", "b"): circuit(2, 3),
        ("near", "a"): circuit(3, 7), ("near", "b"): circuit(8, 9),
    }  # fmt: skip
    assert excess(found, "harmful", "a", "b") == pytest.approx(1 / 3 - (0 + 1 / 3) / 2)  # type: ignore[arg-type]
    assert excess(found, "near", "a", "b") == pytest.approx(0 - (1 / 3 + 0) / 2)  # type: ignore[arg-type]
    assert np.isnan(excess({**found, ("near", "c"): circuit(1)}, "harmful", "a", "c"))  # type: ignore[dict-item]


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


def test_a_plan_falls_back_to_categories_and_selects_nothing_twice() -> None:
    four = [(f"h{at // 2}", f"c{at}") for at in range(4)]
    by_group, by_category = plan(four, four), plan([("h", c) for _, c in four], [("h", c) for _, c in four])
    assert by_group.groups == ("h0", "h1") and by_category.groups == ("c0", "c1", "c2", "c3")
    # two groups: all but the one are the other; 3 aims × 2 groups, 4 categories, all
    assert len(by_group.selections()) == 3 * 2 + 4 + 1
    assert len(by_category.selections()) == 3 * 4 + 4 + 1, "left-out groups are the left-out categories"
    with pytest.raises(ClaimError, match=r"only 'c0' has both .* at least two .* Give prompts"):
        plan([("h", "c0"), ("h", "c1")], [("h", "c0")])
