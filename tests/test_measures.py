"""From hand-made outcomes to the numbers of the report: known rises, ratios and AUROCs."""

import json
import math

import numpy as np
import pytest
from contract import check_value
from hand_made import FAR, HARMFUL, OPTIONS, N, changed, constant, entry, intact, odds, reason, value

from harmcircuits.experiments import measures

KNOWN = {
    "generation.harmful_nll_rise": 0.5,
    "generation.near_nll_rise": 0.2,
    "generation.far_nll_rise": 0.1,
    "generation.selectivity": 0.3,
    "generation.kl": 0.3,
    "generation.request_information_harmful": 0.5,
    "generation.request_information_near": 0.8,
    "generation.retained_harmful": 0.5,
    "generation.retained_twin": 0.8,
    "generation.on_task_rate": 1.0,
    "generation.refusal_rate": 0.0,
    "generation.degenerate_rate": 0.0,
    "recognition.auroc": 0.8,
    "recognition.auroc_in_place": 0.9,
    "recognition.probe_auroc": 0.7,
    "recognition.probe_auroc_request": 0.6,
    "recognition.retained": 1.0,
}


@pytest.mark.parametrize("path", KNOWN)
def test_known_answers(path: str) -> None:
    assert value(entry(changed()), path) == pytest.approx(KNOWN[path], abs=0.02 if "auroc" in path else 1e-9)


def test_the_groups_are_json() -> None:
    found = entry(changed())
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert "no judge" in reason(found, "generation.harmful_rate")


def test_the_intact_model_against_itself_rises_nothing_and_retains_all() -> None:
    found = measures.generation(intact(), intact(), OPTIONS)
    assert found["harmful_nll_rise"].value == found["selectivity"].value == found["kl"].value == 0
    assert found["retained_harmful"].value == found["retained_twin"].value == 1
    assert measures.recognition(intact(), intact(), OPTIONS, primary="probe")["retained"].value == 1


class TestRecognition:
    @pytest.mark.parametrize("primary", ["in_place", "probe"])
    def test_retained_is_of_the_primary_reading(self, primary: str) -> None:
        found = entry(changed(**{primary: odds(auroc=0.6)}), primary=primary)
        before = {"in_place": 0.9, "probe": 0.7}[primary]
        assert value(found, "recognition.retained") == pytest.approx((0.6 - 0.5) / (before - 0.5), abs=0.03)

    def test_a_reading_that_was_not_taken_is_null(self) -> None:
        nothing = constant(math.nan, math.nan, math.nan)
        found = entry(changed(many_shot=nothing, probe=nothing), before=intact() | {"many_shot": nothing, "probe": nothing})
        for path in ("recognition.auroc", "recognition.probe_auroc"):
            assert "needs a training split" in reason(found, path)
        assert value(found, "recognition.auroc_in_place") == pytest.approx(0.9, abs=0.02)

    def test_a_probe_that_never_read_far_twins_is_measured(self) -> None:
        probe = odds(auroc=0.7)
        probe[:, FAR] = math.nan
        found = entry(changed(probe=probe), before=intact() | {"probe": probe}, primary="probe")
        assert value(found, "recognition.probe_auroc") == pytest.approx(0.7, abs=0.02)
        assert value(found, "recognition.retained") == 1

    @pytest.mark.parametrize("auroc", [0.5, 0.1], ids=["at chance", "below chance"])
    def test_retained_needs_an_intact_model_above_chance(self, auroc: float) -> None:
        """A model that tells them apart the wrong way round does not recognise harm either."""
        found = entry(changed(in_place=odds(auroc=auroc)), before=intact() | {"in_place": odds(auroc=auroc)})
        assert "is not shown to tell harmful requests from near twins above chance" in reason(found, "recognition.retained")


class TestRetainedGeneration:
    @pytest.mark.parametrize("information", [0.0, -0.5])
    def test_it_needs_text_that_depends_on_the_request(self, information: float) -> None:
        before = intact() | {"nll_other": constant(2.0 + information, 3.0)}
        found = entry(changed(nll_other=constant(2.5 + information, 3.0)), before=before)
        assert "does not depend on the request" in reason(found, "generation.retained_harmful")
        assert value(found, "generation.retained_twin") == pytest.approx(0.8)

    def test_an_interval_around_0_is_null_too(self) -> None:
        noise = np.random.default_rng(0).normal(0, 1, (N, 3))
        information = noise - noise.mean(0) + 0.1  # 0.1 ± 0.3
        found = entry(changed(), before=intact() | {"nll_other": 2 + information})
        assert "includes 0" in reason(found, "generation.retained_harmful")


class TestRates:
    def test_only_what_was_written_counts(self) -> None:
        on_task = constant(math.nan, math.nan)
        on_task[:8, HARMFUL] = [1, 0, 0, 0, 1, 0, 0, 0]
        found = measures.generation(intact(), changed(on_task=on_task), OPTIONS)["on_task_rate"]
        assert (found.value, found.n) == (0.25, 8)

    def test_few_responses_all_alike_still_have_an_interval(self) -> None:
        """Wilson's for 0 of 4: 0 to z² / (4 + z²), z = 1.96."""
        refusal = constant(math.nan, math.nan)
        refusal[:4, HARMFUL] = 0
        found = measures.generation(intact(), changed(refusal=refusal), OPTIONS)["refusal_rate"]
        assert (found.value, found.low, found.n) == (0, 0, 4)
        assert found.high == pytest.approx(1.96**2 / (4 + 1.96**2), abs=1e-3)


def test_intervals_hold_the_value_and_are_the_same_each_time() -> None:
    noise = np.random.default_rng(1).normal(0, 0.3, (N, 3))
    after = changed(nll=constant(2.5, 2.2, 2.1) + noise)
    first, second = entry(after), entry(after)
    assert first == second
    rise = first["generation"]["harmful_nll_rise"]
    assert rise["low"] < rise["value"] < rise["high"]
    assert rise["n"] == N
    assert 0.05 < rise["high"] - rise["low"] < 0.4  # 2 · 1.96 · 0.3 / √40 = 0.19
    for group in first.values():
        for number in group.values():
            check_value(number)
