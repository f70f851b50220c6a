"""Fronts of rules, their ratios and the decision, by hand; and how fronts are drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harmcircuits import figures
from harmcircuits.claims.rules.compared import Panel, recognition_change
from harmcircuits.claims.rules.decision import Reach, decide, told
from harmcircuits.claims.rules.front import FAR, HARMFUL, NEAR, at_rise
from harmcircuits.figures.rules import rule_fronts
from harmcircuits.figures.style import FigureError
from harmcircuits.statistics import Estimate

OPTIONS = {"draws": 200, "seed": 0, "strata": None}


# fronts


def test_between_two_sizes_a_front_is_straight_and_begins_at_nothing() -> None:
    harmful, near = np.array([0.2, 0.4, 0.3, 0.8]), np.array([0.1, 0.3, 0.3, 0.5])
    found = [float(at_rise(np.array(target), harmful, near)) for target in (-1.0, 0.0, 0.1, 0.3, 0.4, 0.55, 0.8, 0.81)]
    assert found == pytest.approx([0.0, 0.0, 0.05, 0.2, 0.3, 0.4, 0.5, np.nan], nan_ok=True)


def test_a_size_without_a_circuit_is_passed_over() -> None:
    harmful, near = np.array([0.2, np.nan, 0.6]), np.array([0.1, np.nan, 0.5])
    assert float(at_rise(np.array(0.4), harmful, near)) == pytest.approx(0.3)
    assert np.isnan(at_rise(np.array(0.4), np.full(2, np.nan), np.full(2, np.nan)))


@given(rises=arrays(float, (5, 2, 4), elements=st.floats(-1, 2)), target=st.floats(0.01, 2))
def test_draws_in_one_go_are_draws_one_by_one(rises: Any, target: float) -> None:
    together = at_rise(np.full(5, target), rises[:, 0], rises[:, 1])
    alone = [float(at_rise(np.array(target), *own)) for own in rises]
    assert np.array_equal(together, alone, equal_nan=True)


def panel(**near_share: float) -> Panel:
    """12 triples, the first 8 held out in deal 0 and the last 8 in deal 1; rises of 0.3, 0.6, 1.2 on harmful responses, near
    twins by the rule's share of it."""
    spread = 1 + 0.2 * np.sin(np.arange(12))[:, None, None] * np.ones((1, 2, 3))
    spread[8:, 0] = spread[:4, 1] = np.nan
    harmful = spread * np.array([0.3, 0.6, 1.2])
    rises = {rule: np.stack([harmful, share * harmful, 0.1 * harmful], -1) for rule, share in near_share.items()}
    sizes = {rule: np.tile(np.array([[2.0, 5, 0], [4, 10, 0], [8, 20, 0]]), (2, 1, 1)) for rule in near_share}
    return Panel("heads and neurons", rises, sizes, (0.5, 1.0, 2.0), OPTIONS)


def test_a_ratio_is_of_near_rises_at_the_harmful_rise_of_the_default_size() -> None:
    found = panel(set_difference=0.5, contrast=0.2, ratio=0.5)
    assert found.reference(NEAR).value == pytest.approx(found.reference(HARMFUL).value / 2)  # type: ignore[operator]
    spared, same, far = found.ratio("contrast", NEAR), found.ratio("ratio", NEAR), found.ratio("contrast", FAR)
    assert (spared.value, spared.low, spared.high) == pytest.approx((0.4, 0.4, 0.4)) and spared.n == 12
    assert (same.value, far.value) == pytest.approx((1.0, 1.0))


def test_a_rule_at_twice_the_size_is_compared_at_equal_harm_and_not_at_equal_size() -> None:
    found = panel(set_difference=0.5, contrast=0.25)
    found.rises["contrast"][..., :] *= 0.75  # 0.225, 0.45 and 0.9: the default's 0.6 lies between the last two
    assert found.ratio("contrast", NEAR).value == pytest.approx(0.5, abs=0.01)


def test_a_ratio_is_of_the_deals_in_which_the_rule_reaches_the_harmful_rise() -> None:
    found = panel(set_difference=0.5, contrast=0.2)
    found.rises["contrast"][:, 1] *= 0.1
    assert found.reached("contrast").tolist() == [True, False]
    own = found.ratio("contrast", NEAR)
    assert (own.value, own.low, own.high, own.n) == (*[pytest.approx(0.4)] * 3, 8)
    found.rises["contrast"][:, 0] *= 0.1
    assert str(found.ratio("contrast", NEAR).reason).startswith("no circuit of this rule raises L")


def test_draws_in_which_the_harmful_rise_is_not_reached_are_counted_and_not_left_out() -> None:
    """12 triples, 10 of which the rule's largest circuit raises as the set difference does, one far more and one not at all:
    a draw reaches the set difference's rise where it has the former at least as often as the latter."""
    harmful, share = np.ones((12, 1, 1)), np.ones(12)
    share[:2] = 3, -1
    rises = {
        "set_difference": np.stack([harmful] * 3, -1),
        "contrast": np.stack([share[:, None, None], 0.5 * harmful, harmful], -1),
    }
    own = Panel("heads and neurons", rises, {}, (1.0,), OPTIONS).ratio("contrast", NEAR)
    assert own.value == pytest.approx(0.5) and own.low is not None and own.low < 0.5
    assert own.high == pytest.approx(1), "more than one draw in ten: not better than the set difference"


def test_what_does_not_decide_takes_no_level_from_what_does() -> None:
    found = panel(set_difference=0.5, contrast=0.25, difference_as_exact=0.25)
    beside = Panel(found.name, found.rises, found.components, found.factors, OPTIONS, beside=("difference_as_exact",))
    assert beside.challengers == ["contrast"] and beside.together["level"] == 0.95
    assert beside.key("ratio", "difference_as_exact") == "beside_ratio_difference_as_exact"
    assert beside.key("ratio", "contrast") == "ratio_contrast"


def test_recognition_changes_are_of_held_out_triples_only() -> None:
    held_out = np.array([[at < 6, at >= 6] for at in range(12)])
    first = np.stack([np.tile([1.0, 0.0], (12, 1))] * 2, 1)
    other = first.copy()
    other[held_out[:, 0], 1] = [0.0, 1.0]  # deal 1 does not hold these out
    assert recognition_change(first, other, held_out, OPTIONS).value == 0
    other[6:9, 1] = [-1.0, 0.0]  # below all six near twins, half of the pairs of one deal of two
    found = recognition_change(first, other, held_out, OPTIONS)
    assert found.value == pytest.approx(-0.25) and found.high is not None and found.high <= 0


# the decision


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 40)


RISE, NOTHING = estimate(0.3, 0.2, 0.4), estimate(0.1, -0.1, 0.3)
MEETS, BARELY, OPEN = (estimate(*own) for own in ((0.4, 0.3, 0.5), (0.6, 0.5, 0.66), (0.5, 0.3, 0.9)))
ABOVE, HIGH = estimate(1.0, 0.7, 1.3), estimate(1.1, 0.8, 1.4)
MISSING = Estimate.missing("not reached")


@pytest.mark.parametrize(
    ("harmful", "near", "ratios", "short", "expected"),
    [
        (RISE, RISE, {"a": BARELY, "b": MEETS, "c": ABOVE}, {}, ("yes", "b")),
        (RISE, RISE, {"a": BARELY, "b": OPEN}, {}, ("yes", "a")),
        (RISE, RISE, {"a": MEETS, "b": MISSING}, {"b": 0}, ("yes", "a")),
        (RISE, RISE, {"a": MEETS, "b": ABOVE}, {"a": 2}, ("undecided", "a")),
        (RISE, RISE, {"a": ABOVE, "b": ABOVE}, {}, ("no", "a")),
        (RISE, RISE, {"a": ABOVE, "b": MISSING, "c": MISSING}, {"b": 0, "c": 0}, ("no", "a")),
        (RISE, RISE, {"a": ABOVE, "b": HIGH}, {"b": 2}, ("no", "a")),
        (RISE, RISE, {"a": ABOVE, "b": OPEN}, {"b": 2}, ("undecided", "b")),
        (RISE, RISE, {"a": ABOVE, "b": MISSING}, {}, ("undecided", "a")),  # it is reached, and the ratio cannot be told
        (RISE, RISE, {"a": HIGH}, {"a": 2}, ("undecided", "a")),
        (RISE, RISE, {"a": ABOVE, "b": OPEN}, {}, ("undecided", "b")),
        (NOTHING, RISE, {"a": MEETS}, {}, ("cannot be measured", "")),
        (RISE, NOTHING, {"a": MEETS}, {}, ("cannot be measured", "")),
        (RISE, RISE, {"a": MISSING}, {"a": 0}, ("cannot be measured", "")),
    ],
)
def test_what_is_found_when(
    harmful: Estimate, near: Estimate, ratios: dict[str, Estimate], short: dict[str, int], expected: tuple[str, str]
) -> None:
    reach = Reach(deals=3, reached={rule: short.get(rule, 3) for rule in ratios}, largest=4.0)
    assert decide(harmful, near, ratios, reach) == expected
    values = {"harmful_rise": harmful, "near_rise": near} | {f"ratio_{rule}": own for rule, own in ratios.items()}
    values |= {f"auroc_change_{rule}": estimate(-0.02, -0.03, -0.01) for rule in ratios}
    sentence = told(*expected, values, reach)
    assert ("But less recognition is left: AUROC -0.020" in sentence) == (expected[0] != "cannot be measured")
    assert sentence.startswith(
        {"yes": "A rule meets", "no": "No rule", "undecided": "Undecided"}.get(expected[0], "Rules cannot")
    )
    if expected[1]:
        assert ("Nothing is said of" in sentence) == (0 in short.values())
        assert ("2 of 3 deals in which it reaches" in sentence) == (short.get(expected[1]) == 2)


def test_the_sentence_names_the_rules_that_never_reach_the_harmful_rise() -> None:
    reach = Reach(deals=3, reached={"a": 3, "b": 0, "c_d": 0, "e": 0}, largest=4.0)
    values = {"harmful_rise": RISE, "near_rise": RISE, "ratio_a": ABOVE, "auroc_change_a": MISSING}
    said = told("no", "a", values, reach)
    assert "Nothing is said of 'b', 'c d' and 'e', which reach that rise in no deal, up to 4 times the default size." in said


# the figure


def test_the_figure_draws_fronts_from_nothing_with_intervals_and_the_aim() -> None:
    frame = panel(set_difference=0.5, contrast=0.25).fronts()
    drawn = rule_fronts(frame)
    by_name = {trace.name: trace for trace in drawn.data if trace.showlegend}
    assert list(by_name) == ["contrast", "set difference", "aim: 0.67 of the set difference", "both hurt alike"]
    line, aimed = by_name["set difference"], by_name["aim: 0.67 of the set difference"]
    assert (line.x[0], line.y[0]) == (0, 0) and len(line.x) == 4
    assert np.allclose(np.asarray(aimed.y, float) * 1.5, np.asarray(line.y, float))
    assert sum(trace.mode == "lines" and trace.legendgroup == "contrast" for trace in drawn.data) == 2
    assert "contrast: +0.297 and +0.074 at 0.5 times" in drawn.layout.meta["alt"] and drawn.layout.meta["caption"]
    with pytest.raises(FigureError, match=r"missing: \['near_low'\]"):
        rule_fronts(frame.drop(columns="near_low"))


def test_the_figure_of_nothing_is_empty(tmp_path: Path) -> None:
    empty = pd.DataFrame(panel(set_difference=0.5).fronts()[:0])
    assert figures.save(rule_fronts(empty), tmp_path / "empty.json").exists()
