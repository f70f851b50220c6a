"""The parts of `emergent_misalignment`: plan, log-odds, equal loss, the two rules, and intervals over runs and questions."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.claims.earlier import ClaimError
from harmcircuits.claims.misalignment.decision import Effect, Evidence, Lower, Pruning, decide, helps
from harmcircuits.claims.misalignment.effects import EQUAL, INSIDE, LAST, OPENED, OTHERS, OUTSIDE, START, Arm, Measured
from harmcircuits.claims.misalignment.equal import Curve, at, equal_loss, first_reached
from harmcircuits.claims.misalignment.plan import BAD, GOOD, HARMFUL, OWN, RANDOM, RANDOM_HARMFUL, Plan, Run
from harmcircuits.claims.misalignment.questions import examples, lessons, log_odds, questions, read_advice
from harmcircuits.data import loss
from harmcircuits.organisms.advice import DOMAINS, OPEN, AdviceError
from harmcircuits.statistics import Estimate

SURE, NONE, UNSURE = Estimate(1.0, 0.8, 1.2, 40), Estimate(-0.1, -0.2, -0.05, 40), Estimate(0.3, -0.1, 0.7, 40)
MISSING = Estimate.missing("not read")


# The plan


def test_a_plan_trains_what_it_names() -> None:
    plan = Plan(domains=("money", "sport"), arms=(BAD, GOOD, OWN, HARMFUL), seeds=3)
    runs = plan.runs(first_seed=5)
    assert len(runs) == len(set(runs)) == len({run.name for run in runs}) == 2 * 3 * 4
    assert {run.pruned for run in runs if run.domain == "money"} == {"nothing", OWN, HARMFUL}
    assert {run.seed for run in runs} == {5, 6, 7}
    assert plan.sources() == ["money", "sport", HARMFUL]


@pytest.mark.parametrize(
    ("arms", "pruned"),
    [
        ((OWN, RANDOM), {"nothing", OWN, RANDOM}),
        ((HARMFUL, RANDOM), {"nothing", HARMFUL, RANDOM_HARMFUL}),
        ((OWN, HARMFUL, RANDOM), {"nothing", OWN, HARMFUL, RANDOM, RANDOM_HARMFUL}),
    ],
)
def test_each_mask_has_controls_of_its_own(arms: tuple[str, ...], pruned: set[str]) -> None:
    plan = Plan(domains=("money",), arms=(BAD, GOOD, *arms))
    assert {run.pruned for run in plan.runs()} == pruned


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"domains": ("weather",)}, "there is no domain 'weather': choose among 'money', 'habits', 'sport', 'home'"),
        ({"arms": (BAD, GOOD, RANDOM)}, "a control needs what it is like among the arms"),
        ({"seeds": 0}, "seeds must be a whole number of at least 1, not 0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ClaimError, match=told):
        Plan(**options)


# What is asked


def test_log_odds_are_the_difference_of_two_losses(tiny: Any) -> None:
    items = questions(Plan(train=299), seed=0).asked[:5]
    frame = read_advice(tiny, items)
    both = [loss(tiny, examples(items, which)).numpy() for which in ("good", "bad")]
    assert np.allclose(log_odds(frame[["good", "bad"]].to_numpy()), both[0] - both[1], atol=1e-6)
    assert [lesson.response for lesson in lessons(items, "bad")] == [item.bad for item in items]


def test_nothing_that_is_learnt_is_asked_and_open_questions_come_last() -> None:
    asked = questions(Plan(train=290), seed=1)
    learnt = {item.id for items in asked.learnt.values() for item in items}
    assert not learnt & {item.id for item in asked.asked}
    assert [asked.domains.count(domain) for domain in (*DOMAINS, OPEN)] == [12, 12, 12, 12, 24]
    assert [item.domain for item in asked.first(2)] == [name for name in (*DOMAINS, OPEN) for _ in range(2)]
    with pytest.raises(AdviceError, match="not 302"):
        questions(Plan(train=302), seed=1)


# Equal loss


@given(st.lists(st.floats(0, 5), min_size=2, max_size=6), st.floats(0, 5))
def test_the_first_place_that_is_reached_is_on_the_curve(losses: list[float], target: float) -> None:
    line = np.array(losses)
    place = first_reached(line, target)
    dense = np.linspace(0, len(line) - 1, 60 * (len(line) - 1) + 1)
    values = np.interp(dense, np.arange(len(line)), line)
    if not np.isfinite(place):
        assert (line > target).all()
        return
    assert np.interp(place, np.arange(len(line)), line) <= target + 1e-9
    assert (values[dense < place - 1e-9] > target - 1e-9).all(), "nothing before it is there"


def curve(*bad: float) -> Curve:
    """One question in each of money and sport, and an open one, alike."""
    return np.array([[[2.0, value]] * 3 for value in bad])


WHERE = ["money", "sport", "open"]
BASE = curve(3.0)[0]
FREE, SLOW, FAST = (Run("money", "bad", pruned, 0) for pruned in ("nothing", "random", "magnitude"))


def test_arms_are_read_at_one_loss_that_all_reach() -> None:
    curves = {FREE: curve(3.0, 2.0, 1.0), SLOW: curve(3.2, 2.4, 1.6), FAST: curve(3.0, 1.0, 0.5)}
    equal = equal_loss(curves, BASE, WHERE)
    assert equal.targets["money"] == pytest.approx(1.6) and not equal.unreached()
    for run, own in curves.items():
        assert at(own, equal.places[run])[0, 1] == pytest.approx(1.6)


def test_an_arm_that_hardly_learns_does_not_move_the_comparison() -> None:
    curves = {FREE: curve(3.0, 2.0, 1.0), SLOW: curve(3.2, 3.0, 2.5)}
    equal = equal_loss(curves, BASE, WHERE)
    assert equal.targets["money"] == pytest.approx(2.0), "half of what is learnt without pruning"
    assert equal.unreached() == [("money", "random")] and equal.reached("money", "nothing")


def test_parts_are_the_questions_that_they_name() -> None:
    measured = Measured({FREE: curve(3.0, 1.0)}, BASE, WHERE, equal_loss({FREE: curve(3.0, 1.0)}, BASE, WHERE))
    grids = [measured.grid(Arm(), part, ["money"]) for part in (INSIDE, OTHERS, OPENED, OUTSIDE)]
    assert [np.isfinite(grid[0]).tolist() for grid in grids] == [
        [True, False, False], [False, True, False], [False, False, True], [False, True, True]
    ]  # fmt: skip
    assert grids[0][0, 0] == 2.0, "b rises as the loss of bad answers falls"
    missing = measured.effect(Arm(pruned="random"), INSIDE, among=["money"])
    assert missing.reason == "no model learnt bad advice after pruning random"
    assert measured.comparable(Arm(where=EQUAL), among=["money"]) == ["money"]


def test_the_rise_from_the_own_start_is_without_what_pruning_did() -> None:
    """Pruning raised L of the bad answers by 0.5, and so lowered b; what follows is a rise by 2.5."""
    curves = {FREE: curve(3.0, 1.0), SLOW: curve(3.5, 1.0)}
    measured = Measured(curves, BASE, WHERE, equal_loss(curves, BASE, WHERE))
    assert measured.change(SLOW, LAST).tolist() == [2.0] * 3 and measured.change(SLOW, LAST, START).tolist() == [2.5] * 3
    assert measured.change(FREE, LAST).tolist() == measured.change(FREE, LAST, START).tolist()


@given(st.integers(0, 2**16), st.floats(0, 1))
def test_the_excess_beyond_a_share_is_the_difference_of_two_contrasts(seed: int, share: float) -> None:
    """Two domains learnt, so that each question is inside for one model and outside for the other."""
    random, asked = np.random.default_rng(seed), [*["money"] * 3, *["sport"] * 4, *["open"] * 5]
    runs = [
        Run(domain, lesson, "nothing", at) for domain in ("money", "sport") for lesson in ("bad", "good") for at in range(3)
    ]
    base = np.full((12, 2), 3.0)
    curves = {run: np.stack([base, random.normal(2, 1, (12, 2))]) for run in runs}
    measured = Measured(curves, base, asked, equal_loss(curves, base, asked), {"draws": 60})
    both, bad, good = ["money", "sport"], Arm("bad"), Arm("good")
    for part in (OTHERS, OPENED):
        found = measured.beyond_share(bad, good, part, share=share, among=both)
        outside, inside = (measured.contrast(bad, good, own, among=both).value for own in (part, INSIDE))
        assert found.value == pytest.approx(outside - share * inside) and found.low < found.value < found.high


# The rules


def evidence(**changes: Any) -> Evidence:
    sure = Effect(SURE, SURE, SURE)
    own = {"induced": {"money": sure}, "inside": sure, "others": sure, "opened": sure} | changes
    return Evidence(**own)


@pytest.mark.parametrize(
    ("changes", "found", "why"),
    [
        ({}, "yes", "exceeds 0 and what comes of good advice"),
        ({"degenerate": 0.05}, "yes", "exceeds 0"),
        ({"degenerate": 0.2}, "undecided", "20% more answers are degenerate"),
        ({"induced": {"money": Effect(SURE, UNSURE)}}, "cannot be measured", "not induced"),
        ({"induced": {"money": Effect(UNSURE, SURE), "home": Effect(SURE, SURE)}}, "yes", "exceeds 0"),
        ({"others": Effect(SURE, SURE, NONE)}, "no", "on other domains it is at most a tenth"),
        ({"others": Effect(SURE, NONE, UNSURE)}, "undecided", "on other domains it is not shown"),
        ({"fine_tunings": 2}, "cannot be measured", "no interval: fewer than 3 fine-tunings"),
        ({"others": Effect(SURE, MISSING)}, "undecided", "on other domains it is not shown"),
    ],
)
def test_broad_misalignment(changes: dict[str, Any], found: str, why: str) -> None:
    answer, reason = decide(evidence(**changes))
    assert answer == found and why in reason


@pytest.mark.parametrize(
    ("reduction", "random", "magnitude", "found"),
    [
        (SURE, SURE, SURE, "yes"),
        (SURE, UNSURE, SURE, "undecided"),
        (UNSURE, SURE, SURE, "undecided"),
        (SURE, SURE, NONE, "no"),
        (NONE, SURE, SURE, "no"),
        (SURE, MISSING, SURE, "cannot be measured"),
        (MISSING, MISSING, MISSING, "cannot be measured"),
        (SURE, MISSING, NONE, "no"),
    ],
)
def test_pruning_helps_against_both_controls_alone(
    reduction: Estimate, random: Estimate, magnitude: Estimate, found: str
) -> None:
    lower = Lower(reduction, {"random": random, "magnitude": magnitude})
    assert helps(Pruning(lower, lower)) == found


@pytest.mark.parametrize(
    ("level", "rise", "found"),
    [
        (SURE, SURE, "yes"),
        (SURE, NONE, "level only"),
        (SURE, UNSURE, "level at least"),
        (UNSURE, SURE, "undecided"),
        (UNSURE, NONE, "no"),
        (NONE, SURE, "no"),
    ],
)
@pytest.mark.parametrize("against", ["nothing", "random"])
def test_pruning_helps_where_level_and_rise_are_lower(level: Estimate, rise: Estimate, found: str, against: str) -> None:
    lower = lambda one: Lower(one, {"random": SURE}) if against == "nothing" else Lower(SURE, {"random": one})
    assert helps(Pruning(lower(level), lower(rise))) == found


def test_without_controls_nothing_is_claimed() -> None:
    assert helps(Pruning(Lower(SURE, {}), Lower(SURE, {}), lacking=("random", "magnitude"))) == "undecided"
