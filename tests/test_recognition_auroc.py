"""AUROC of harmful prompts with intervals, for sets with triples and without."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from triples import make_triples

from harmcircuits.examples import Prompt
from harmcircuits.statistics import auroc, bootstrap
from harmcircuits.tasks.told_apart import benign_role, contrasted, harm_auroc, paired

PROMPTS = make_triples(20).prompts
LOOSE = [replace(prompt, group="") for prompt in PROMPTS]
UNEVEN = [prompt for prompt in LOOSE if prompt.role == "harmful" or prompt.category == "mischief"]
"""Twice as many harmful prompts as near ones: no pairs."""


def scores_of(prompts: list[Prompt] | tuple[Prompt, ...], *, gap: float = 1.0, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=len(prompts))
    return noise + gap * np.array([prompt.role == "harmful" for prompt in prompts])


@pytest.mark.parametrize("prompts", [PROMPTS, LOOSE, UNEVEN], ids=["triples", "loose", "uneven"])
@pytest.mark.parametrize("against", ["near", "far"])
def test_equal_scores_are_one_half(prompts: list[Prompt], against: str) -> None:
    found = harm_auroc(np.full(len(prompts), 3.7), prompts, against=against, draws=100)  # type: ignore[arg-type]
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("prompts", [PROMPTS, LOOSE, UNEVEN], ids=["triples", "loose", "uneven"])
def test_the_value_is_mann_and_whitneys_u(prompts: list[Prompt]) -> None:
    scores = scores_of(prompts)
    sides = [scores[[prompt.role == role for prompt in prompts]] for role in ("harmful", "near")]
    found = harm_auroc(scores, prompts, against="near", draws=400)
    assert found.value == pytest.approx(mannwhitneyu(*sides).statistic / (len(sides[0]) * len(sides[1])))
    assert found.low is not None and found.high is not None and found.low < float(found.value or 0) < found.high
    assert found.n == (20 if prompts is PROMPTS else len(sides[0]) + len(sides[1]))


def test_triples_are_resampled_whole() -> None:
    scores = scores_of(PROMPTS)
    shuffled = np.random.default_rng(1).permutation(len(PROMPTS))
    found = harm_auroc(scores, PROMPTS, against="near", draws=200)
    by_triple = scores.reshape(-1, 3)
    expected = bootstrap(lambda x: auroc(x[..., 0], x[..., 1]), by_triple, draws=200, vectorised=True)
    assert found == expected
    moved = harm_auroc(scores[shuffled], [PROMPTS[at] for at in shuffled], against="near", draws=200)
    assert moved.value == found.value, "order does not matter to the value"


def test_sides_are_resampled_each_by_itself() -> None:
    """Where a pair always has one score, whole pairs leave hardly any spread, and sides of their own leave much."""
    pair = np.repeat(np.random.default_rng(0).normal(size=20), 3)
    width = {}
    for name, prompts in (("triples", PROMPTS), ("loose", LOOSE)):
        found = harm_auroc(pair, prompts, against="near", draws=400)
        assert found.value == 0.5
        assert found.low is not None and found.high is not None
        width[name] = found.high - found.low
    assert width["triples"] == 0 and width["loose"] > 0.2


@given(st.lists(st.integers(-3, 3), min_size=60, max_size=60), st.sampled_from([PROMPTS, LOOSE]))
def test_the_other_sign_is_the_other_side_of_one_half(values: list[int], prompts: list[Prompt]) -> None:
    own, turned = (harm_auroc(sign * np.array(values), prompts, against="far", draws=40) for sign in (1, -1))
    assert own.value is not None and turned.value is not None
    assert own.value == pytest.approx(1 - turned.value)
    assert own.low == pytest.approx(1 - (turned.high or 0)) and own.high == pytest.approx(1 - (turned.low or 0))


def test_what_cannot_be_measured_says_why() -> None:
    scores = scores_of(PROMPTS)
    harmful = [prompt for prompt in PROMPTS if prompt.role == "harmful"]
    assert harm_auroc(scores[:20], harmful, against="near").reason == "there are no near prompts"
    assert harm_auroc(scores[:2], PROMPTS[1:3], against="near").reason == "there are no harmful prompts"
    scores[0] = np.nan
    assert harm_auroc(scores, PROMPTS, against="near").reason == "1 scores of harmful prompts are not numbers"
    few = harm_auroc([1.0, 0.0, 2.0], LOOSE[:2] + LOOSE[3:4], against="near")
    assert (few.value, few.low, few.n) == (1, None, 3), "no interval of so few"


def test_what_harmful_prompts_are_held_against() -> None:
    far_only = [prompt for prompt in PROMPTS if prompt.role != "near"]
    assert (benign_role(PROMPTS), benign_role(far_only)) == ("near", "far")
    assert [PROMPTS[at].role for at in contrasted(PROMPTS)[:3]] == ["harmful", "near", "harmful"]
    assert contrasted(far_only) == list(range(len(far_only)))


def test_pairs_only_where_everybody_has_one() -> None:
    assert paired(PROMPTS, against="near") == (list(range(0, 60, 3)), list(range(1, 60, 3)))
    assert paired(LOOSE, against="near") is None
    assert paired(PROMPTS[:-2], against="near") is None, "the last harmful prompt has no near twin"
    mixed = [*PROMPTS, Prompt(request="Say hello", role="near")]
    assert paired(mixed, against="near") is None and paired(mixed, against="far") is not None
