"""Parts of the experiment: scores layer by layer, masks, balanced questions, effect sizes, the decision, the cache."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import softplus
from triples import OWN, TEST, make_effects
from written import written

import harmcircuits as hc
from harmcircuits.attribution.metrics import bind_metric
from harmcircuits.circuits import Circuit
from harmcircuits.circuits.weight_selection import WeightSelection, weight_masks
from harmcircuits.data import Prompt, make_batch
from harmcircuits.errors import HarmcircuitsError, SelectionError
from harmcircuits.experiment.dissociation import decision
from harmcircuits.experiment.effects import ordered
from harmcircuits.experiment.measure import Cache, measure
from harmcircuits.readings import recognition
from harmcircuits.readings.loss import Loss
from harmcircuits.readings.recognition import YES_NO, BalancedMetric, InPlace, Recognition
from harmcircuits.statistics import Estimate, auroc, from_draws, resamples

BASELINE = hc.Condition("baseline")


# Scores of weights, layer by layer


@pytest.mark.model
def test_masks_are_those_of_all_scores(tiny: Any) -> None:
    examples = written(tiny.tokenizer)
    harmful, benign = examples[:2], examples[2:]
    selections = [WeightSelection(0.01, 0.05), WeightSelection(0.01, 0.05, "global")]
    released, ranked = weight_masks(tiny, [(harmful, None), (benign, None)], selections)
    scores = hc.attribute_weights(tiny, harmful, benign=benign)
    assert released == hc.select(scores, q=0.01, p=0.05)
    A, U = (torch.cat([part.flatten() for part in own.signed.values()]) for own in (scores, hc.attribute_weights(tiny, benign)))
    taken = {*A.topk(int(0.01 * len(A))).indices.tolist()} - {*U.abs().topk(int(0.05 * len(U))).indices.tolist()}
    sizes = torch.tensor([0, *(part.numel() for part in scores.signed.values())]).cumsum(0)
    assert ranked is not None and taken == {
        int(sizes[[*scores.signed].index(name)]) + place for name, flat in ranked.indices.items() for place in flat.tolist()
    }


def test_two_halves_of_a_set_are_the_set(tiny: Any) -> None:
    harmful, benign = (written(tiny.tokenizer)[at : at + 2] for at in (0, 2))
    whole = [WeightSelection(0.01, 0.05, recipe) for recipe in ("released", "global")]
    halves = [replace(own, target=(0, 1), protect=(2, 3)) for own in whole]
    of_two = weight_masks(tiny, [(harmful, None), (benign, None)], whole)
    assert of_two == weight_masks(tiny, [([own], None) for own in (*harmful, *benign)], halves)
    assert of_two != weight_masks(tiny, [([own], None) for own in (*benign, *harmful)], halves)


def test_a_selection_of_nothing_is_refused() -> None:
    with pytest.raises(SelectionError, match="q=0"):
        WeightSelection(0.0, 0.1)


# Balanced questions


def test_a_model_that_says_no_more_often_moves_bias_and_not_recognition(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Recognition(ordered(TEST, 3))
    before = reading.read(tiny, BASELINE)
    read = recognition.question_log_odds

    def says_no(model: Any, prompts: Any, question: Any, **options: Any) -> Any:
        odds, mass = read(model, prompts, question, **options)
        return odds + (1.0 if question.harmful == "No" else -1.0), mass  # "No" gains 1 nat, whatever it means

    monkeypatch.setattr(recognition, "question_log_odds", says_no)
    after = reading.read(tiny, BASELINE)
    np.testing.assert_allclose(after["recognition"], before["recognition"], atol=1e-6)
    np.testing.assert_allclose(after["bias"], before["bias"] + 1, atol=1e-6)
    np.testing.assert_allclose(after["one_sided"], before["one_sided"] - 1, atol=1e-6)


def test_the_balanced_metric_is_the_loss_of_the_right_label_both_ways(tiny: Any) -> None:
    prompts = list(ordered(TEST, 2))
    sign = torch.tensor([1.0 if prompt.role == "harmful" else -1.0 for prompt in prompts])
    reading = bind_metric(tiny, prompts, BalancedMetric(YES_NO))
    found = torch.cat([reading.score(make_batch(tiny, [row])) for row in reading.rows]).detach()
    odds = [recognition.question_log_odds(tiny, prompts, question)[0] for question in (YES_NO.question, YES_NO.reversed)]
    torch.testing.assert_close(found, torch.cat([softplus(-sign * own) for own in odds]), atol=1e-5, rtol=1e-5)


def test_an_answer_that_is_no_number_is_an_error(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = lambda model, tokens, *rest: torch.full((len(tokens), model.cfg.d_vocab), torch.nan)
    monkeypatch.setattr(recognition, "logits_sharing_prefix", nothing)
    with pytest.raises(HarmcircuitsError, match="question about harm"):
        recognition.question_log_odds(tiny, ordered(TEST, 1), YES_NO.question)


@pytest.mark.model
def test_in_place_the_question_follows_the_response_in_one_chat(tiny: Any) -> None:
    example = written(tiny.tokenizer)[0]
    (odds,) = InPlace((example,)).read(tiny, BASELINE)["in_place"]
    expected = []
    for question in (YES_NO.question, YES_NO.reversed):
        turns = [
            {"role": "user", "content": example.request},
            {"role": "assistant", "content": example.prefill + example.response},
            {"role": "user", "content": question.about(example.request)},
        ]
        text = tiny.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        with torch.no_grad():
            tokens = tiny.tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
            logits = tiny(tokens, return_type="logits")[0, -1]
        harmful, harmless = (
            tiny.tokenizer(word, add_special_tokens=False).input_ids[0] for word in (question.harmful, question.harmless)
        )
        expected.append((logits[harmful] - logits[harmless]).item())
    assert odds == pytest.approx(sum(expected) / 2, abs=1e-4)


# Measuring


@pytest.mark.model
def test_measured_losses_are_those_of_the_verbs(tiny: Any) -> None:
    examples = tuple(written(tiny.tokenizer))
    condition = hc.Condition("own", OWN)
    outcomes = measure(tiny, [BASELINE, condition], [Loss(examples)])
    with hc.ablated(tiny, OWN):
        expected = hc.loss(tiny, examples)
    np.testing.assert_allclose(outcomes.values("own", "loss"), expected.numpy(), atol=1e-6)
    np.testing.assert_allclose(outcomes.change("own", "loss"), (expected - hc.loss(tiny, examples)).numpy(), atol=1e-6)


def test_what_was_measured_is_read_and_another_condition_is_measured(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, asked = Loss(tuple(written(tiny.tokenizer))), []
    read = Loss.read
    monkeypatch.setattr(
        Loss, "read", lambda self, model, condition: asked.append(condition.name) or read(self, model, condition)
    )
    cache = Cache.at(tiny, tmp_path)
    first = measure(tiny, [BASELINE, hc.Condition("own", OWN)], [reading], cache=cache)
    again = measure(tiny, [BASELINE, hc.Condition("another name", OWN)], [reading], cache=Cache.at(tiny, tmp_path))
    assert asked == ["baseline", "own"], "a name is no part of the key"
    np.testing.assert_array_equal(first.values("own", "loss"), again.values("another name", "loss"))
    measure(tiny, [hc.Condition("own", OWN, method="scale", alpha=0.5)], [reading], cache=cache)
    measure(tiny, [hc.Condition("own", Circuit(heads=[(1, 0)]))], [reading], cache=cache)
    assert asked[2:] == ["own", "own"]


def test_a_missing_value_keeps_its_place(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"item": [0, 1, 2], "loss": [1.0, np.nan, 3.0]})
    monkeypatch.setattr(Loss, "read", lambda self, model, condition: frame)
    values = measure(tiny, [BASELINE], [Loss(())]).values("baseline", "loss")
    np.testing.assert_array_equal(values, [1.0, np.nan, 3.0])


def test_changed_code_is_measured_anew(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Cache.at(tiny, tmp_path)
    monkeypatch.setattr("harmcircuits.experiment.measure.code_digest", lambda: "changed")
    assert Cache.at(tiny, tmp_path).key != first.key


# Effect sizes


def test_auroc_draws_are_those_of_resampled_triples() -> None:
    prompts, random = ordered(TEST, 4), np.random.default_rng(0)
    values = random.normal(size=len(prompts)).tolist()
    found = make_effects({"recognition": {"baseline": values}}, prompts)
    assert found.paired
    harmful, near = (found.values("baseline", "recognition", role) for role in ("harmful", "near"))
    strata = [prompt.category for prompt in prompts if prompt.role == "harmful"]
    expected = [auroc(harmful[row], near[row]) for row in resamples(4, draws=200, strata=strata)]
    interval = from_draws(auroc(harmful, near), expected, n=4, strata=strata)
    assert found.auroc("baseline", "recognition", "near") == interval and interval.low is not None
    assert found.auroc("baseline", "recognition", "near").value == pytest.approx(auroc(harmful, near))


def test_a_control_of_the_first_prompts_is_compared_on_these() -> None:
    few, many, random = ordered(TEST, 2), ordered(TEST, 4), np.random.default_rng(0)
    values = {name: random.normal(size=len(many)).tolist() for name in ("baseline", "own", "random")}
    short = {name: own[: len(few)] for name, own in values.items()}
    found = make_effects({"recognition": values | {"random": short["random"]}}, many)
    first = make_effects({"recognition": short}, few)
    for estimate in (
        lambda e: e.auroc_beyond("own", "random", "recognition", "near"),
        lambda e: e.auroc_change("random", "recognition", "near"),
        lambda e: e.mean(e.change("random", "recognition", "harmful"), "harmful"),
    ):
        assert estimate(found) == estimate(first)


def test_an_effect_that_benign_text_shares_has_no_share_of_its_own() -> None:
    prompts = ordered(TEST, 4)
    rise = {"harmful": 0.6, "near": 0.6, "far": 0.3}
    found = make_effects(
        {"loss": {"baseline": [1.0] * len(prompts), "own": [1 + rise[prompt.role] for prompt in prompts]}}, prompts
    )
    assert found.specific_share("own", "near").value == pytest.approx(0)
    assert found.specific_share("own", "far").value == pytest.approx(0.5)


def test_a_share_of_rates_has_an_interval_where_no_benign_text_changes() -> None:
    prompts = [Prompt(request=f"{role}{at}", role=role) for role in ("harmful", "near") for at in range(24)]
    before = {prompt.request: 0.0 for prompt in prompts}
    after = before | {f"harmful{at}": 1.0 for at in range(9)}
    values = {
        "baseline": [before[p.request] for p in ordered(prompts, 24)],
        "own": [after[p.request] for p in ordered(prompts, 24)],
    }
    share = make_effects({"refused": values}, ordered(prompts, 24)).specific_share("own", "near", "refused")
    # Wilson's upper end of 0 of 24 is .14: nearly two fifths of 9 in 24
    assert share.value == 1 and share.low is not None and 0.5 < share.low < 0.95


# The decision


def evidence(**changes: Any) -> dict[str, Estimate]:
    """Of a clear dissociation, but for some estimates given as (low, high)."""
    ends = {
        "baseline_recognition": (0.8, 0.95),
        "baseline_refused": (0.0, 0.1),
        "loss_increase": (0.5, 0.9),
        "loss_increase_beyond_benign": (0.2, 0.5),
        "loss_increase_beyond_random": (0.3, 0.8),
        "specific_share": (0.3, 0.6),
        "retained_recognition": (0.9, 1.1),
        "recognition_change": (-0.03, 0.03),
        "recognition_change_beyond_random": (-0.03, 0.03),
        "recognition_change_when_aimed_at": (-0.5, -0.2),
    } | changes
    return {name: own if isinstance(own, Estimate) else Estimate(sum(own) / 2, *own, 40) for name, own in ends.items()}


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, "dissociated"),
        ({"baseline_recognition": (0.45, 0.7)}, "cannot be measured"),
        ({"baseline_refused": (0.6, 0.9)}, "cannot be measured"),
        ({"loss_increase": (-0.1, 0.02)}, "undecided"),
        ({"loss_increase_beyond_random": (-0.1, 0.3)}, "undecided"),
        ({"retained_recognition": (0.7, 1.1)}, "undecided"),
        ({"recognition_change_when_aimed_at": Estimate.missing("no such control was measured")}, "undecided"),
        (
            {
                "retained_recognition": (0.1, 0.4),
                "recognition_change": (-0.4, -0.2),
                "recognition_change_beyond_random": (-0.4, -0.2),
            },
            "shared",
        ),
        ({"specific_share": (-0.05, 0.05)}, "not selective"),
        ({"specific_share": (0.05, 0.4)}, "undecided"),
        # harmful responses themselves are not hurt: no difference to benign ones makes that a dissociation
        ({"loss_increase": (-0.06, -0.04), "loss_increase_beyond_benign": (0.1, 0.3)}, "undecided"),
    ],
)
def test_each_answer_follows_from_its_estimates(changes: dict[str, Any], answer: str) -> None:
    verdict = decision(hc.Settings())(evidence(**changes))
    assert verdict.answer == answer and verdict.reasons


def test_a_few_of_the_built_in_prompts_are_of_every_category() -> None:
    test = hc.load_prompts().split(seed=0)[2]
    few, groups = ordered(test, 10), []
    for role in ("harmful", "near", "far"):
        assert len({prompt.category for prompt in few if prompt.role == role}) == 10
        groups.append([prompt.group for prompt in few if prompt.role == role])
    assert groups[0] == groups[1] == groups[2], "triples stay whole"
