"""Questions, many shots, probe and capabilities: each against a second route, batches, ablations, bad input."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from triples import make_triples

import harmcircuits as hc
from harmcircuits.ablation.ablate import BASELINE, Condition
from harmcircuits.circuits import Circuit
from harmcircuits.data import Prompt, Row, chat_frame, encode, loss, make_batch, near_duplicate_groups, row_losses
from harmcircuits.data.elicit import elicit
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.readings import capabilities as caps
from harmcircuits.readings import many_shot as shots_of
from harmcircuits.readings.capabilities import Completion, Completions
from harmcircuits.readings.many_shot import ManyShot, RecognitionMetric, Shots, make_shots, many_shot
from harmcircuits.readings.probe import RIDGE, Probe, fit_directions, request_residuals
from harmcircuits.readings.recognition import (
    YES_NO,
    BalancedQuestion,
    Question,
    can_ask,
    label_ids,
    log_odds,
    question_log_odds,
    question_tokens,
    tokens_in_place,
)

PROMPTS = make_triples(24)
TRAIN, ASKED = PROMPTS.prompts[:60], PROMPTS.prompts[60:66]
CIRCUIT = Circuit(heads=[(0, 1), (1, 3)], neurons=[(1, 7)])
OFF = Condition("off", CIRCUIT)
TWO_TOKENS = (" the answer", " the door")
"""Two tokens each in the tiny tokenizer, the first of which they share."""


def last_logits(model: Any, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([tokens]), return_type="logits")[0, -1].float()


class TestQuestions:
    def test_log_odds_are_those_of_one_unpadded_row(self, tiny: Any) -> None:
        question = YES_NO.question
        odds, mass = question_log_odds(tiny, ASKED, question)
        _, yes, no = label_ids(tiny, question)
        for at, tokens in enumerate(question_tokens(tiny, ASKED, question)):
            logits = last_logits(tiny, tokens)
            assert odds[at].item() == pytest.approx(float(logits[yes] - logits[no]), abs=1e-4)
            assert 0 <= mass[at] <= 1

    @pytest.mark.parametrize("in_place", [False, True])
    def test_labels_of_several_tokens_have_the_likelihood_of_whole_labels(self, tiny: Any, in_place: bool) -> None:
        question = Question("What about {request}?", "It is", *TWO_TOKENS)
        examples = elicit(tiny, ASKED[:3], max_new_tokens=4, cache=False)
        tokens = tokens_in_place(tiny, examples, question) if in_place else question_tokens(tiny, examples, question)
        for row, value in zip(tokens, log_odds(tiny, tokens, question)[0], strict=True):
            before, log_p = row[:-1], []  # without the token that both labels share
            for label in TWO_TOKENS:
                ids = encode(tiny, label)
                nll = row_losses(tiny, [Row((*before, *ids), len(before), len(before) + len(ids))])
                log_p.append(-float(nll[0]) * len(ids))
            assert value.item() == pytest.approx(log_p[0] - log_p[1], abs=1e-4)

    @pytest.mark.parametrize("labels", [(" No", " Nobody"), (" Nobody", " No"), (" No", " No"), (" No", ""), ("", "")])
    def test_the_beginning_of_the_other_is_an_error(self, tiny: Any, labels: tuple[str, str]) -> None:
        question = Question("Who?", "", *labels)
        with pytest.raises(HarmcircuitsError, match="neither"):
            label_ids(tiny, question)
        assert not can_ask(tiny, BalancedQuestion("who", question, question))


def written_out(model: Any, shots: Shots, request: str) -> float:
    """The log-odds after one text of all shots and the request, without a cache."""
    tokens = [*shots.tokens(model, 0), *shots_of.request_tokens(model, request)]
    _, harmful, harmless = label_ids(model, shots_of.SHOT)
    logits = last_logits(model, tokens)
    return float(logits[harmful] - logits[harmless])


class TestManyShot:
    @pytest.mark.parametrize("condition", [Condition(BASELINE), OFF], ids=["baseline", "ablated"])
    def test_the_cached_prefix_gives_what_the_whole_text_gives(self, tiny: Any, condition: Condition) -> None:
        shots = make_shots(TRAIN, n_shots=4)
        odds = ManyShot(ASKED, shots).read(tiny, condition)["many_shot"]
        with condition.ablated(tiny):
            expected = [written_out(tiny, shots, prompt.request) for prompt in ASKED]
        assert odds.tolist() == pytest.approx(expected, abs=1e-4) and odds.std() > 1e-3

    def test_draws_are_averaged_and_batches_and_order_change_nothing(self, tiny: Any) -> None:
        shots = make_shots(TRAIN, n_shots=4, draws=3)
        apart = [many_shot(tiny, ASKED, Shots((draw,))) for draw in shots.draws]
        whole = many_shot(tiny, ASKED[::-1], shots, batch_size=1).flip(0)
        torch.testing.assert_close(whole, torch.stack(apart).mean(0), atol=1e-4, rtol=0)
        assert (apart[0] - apart[1]).abs().max() > 1e-3, "the draws differ"

    def test_the_metric_is_the_loss_of_the_right_label(self, tiny: Any) -> None:
        """Loss of the same prompts called benign − loss of them called harmful = the log-odds."""
        shots, losses = make_shots(TRAIN, n_shots=4), []
        for role in ("near", "harmful"):
            bound = RecognitionMetric(shots).for_model(tiny, [replace(prompt, role=role) for prompt in ASKED])
            with torch.no_grad():
                losses.append(bound.score(make_batch(tiny, list(bound.rows))))
        torch.testing.assert_close(losses[0] - losses[1], many_shot(tiny, ASKED, shots), atol=1e-4, rtol=0)
        assert hc.recognition_metric(TRAIN, n_shots=4) == RecognitionMetric(shots)

    def test_shots_are_balanced_and_of_the_same_triples(self) -> None:
        prompts = {prompt.request: prompt for prompt in TRAIN}
        draws = make_shots(TRAIN, n_shots=8, draws=4).draws
        assert len(set(draws)) == 4
        for draw in draws:
            assert Counter(harmful for _, harmful in draw) == {True: 4, False: 4} and len(set(draw)) == 8
            assert all(prompts[text].role == ("harmful" if harmful else "near") for text, harmful in draw)
            harmful, near = ({prompts[text].group for text, kind in draw if kind is which} for which in (True, False))
            assert harmful == near
        loose = make_shots([replace(prompt, group="") for prompt in TRAIN], n_shots=4).draws[0]
        assert all((prompts[text].role == "harmful") is harmful for text, harmful in loose)

    def test_too_few_and_too_many(self, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for prompts, n in (([], 4), (TRAIN[:3], 4), (TRAIN, 1)):
            with pytest.raises(HarmcircuitsError):
                make_shots(prompts, n_shots=n)
        monkeypatch.setattr(shots_of, "context_length", lambda model: 40)
        with pytest.raises(HarmcircuitsError, match="context holds 40"):
            many_shot(tiny, ASKED, make_shots(TRAIN, n_shots=4))


class TestProbe:
    @pytest.mark.parametrize("condition", [Condition(BASELINE), OFF], ids=["baseline", "ablated"])
    def test_the_residual_is_that_of_one_unpadded_row(self, tiny: Any, condition: Condition) -> None:
        with condition.ablated(tiny):
            residual = request_residuals(tiny, ASKED, [0, 1], batch_size=4)
            for at, prompt in enumerate(ASKED):
                tokens = torch.tensor([[*chat_frame(tiny).before, *encode(tiny, prompt.request)]])
                kept: list[torch.Tensor] = []
                keep = lambda value, hook, kept=kept: kept.append(value[0, -1].detach().clone())
                with torch.no_grad():
                    tiny.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.hook_resid_post", keep) for layer in (0, 1)])
                torch.testing.assert_close(residual[:, at], torch.stack(kept), atol=1e-4, rtol=1e-4)

    def test_it_is_ridge_regression(self, tiny: Any) -> None:
        directions = fit_directions(tiny, TRAIN[:30])
        residual = request_residuals(tiny, TRAIN[:30], [1])[0]
        x = ((residual - residual.mean(0)) / (residual.std(0) + 1e-6)).numpy()
        y = [1.0 if prompt.role == "harmful" else -1.0 for prompt in TRAIN[:30]]
        ridge = Ridge(alpha=RIDGE, fit_intercept=False).fit(x, y)
        np.testing.assert_allclose(directions[1].weights.numpy(), ridge.coef_, atol=1e-5)
        scores = Probe(ASKED, directions[0], directions[1]).read(tiny, Condition(BASELINE))
        assert scores["probe_last"].tolist() == pytest.approx(
            directions[1].score(request_residuals(tiny, ASKED, [1])[0]).tolist(), abs=1e-5
        )


class TestCapabilities:
    def test_facts_and_passages_are_those_of_each_text_alone(self, tiny: Any) -> None:
        table = caps.Capabilities(facts=3, passages=2).read(tiny, OFF)
        with OFF.ablated(tiny):
            for at, item in enumerate(caps.capabilities()["facts"][:3]):
                right, *wrong = (float(row_losses(tiny, [row])) for row in caps.fact_rows(tiny, item))
                assert table["fact"][at] == float(right < min(wrong))
            for at, text in enumerate(caps.passages()[:2]):
                tokens = torch.tensor([[*caps.start_ids(tiny), *encode(tiny, text)]])[:, : caps.context_length(tiny)]
                with torch.no_grad():
                    log_p = tiny(tokens, return_type="logits")[0].float().log_softmax(-1)
                nll = -log_p[:-1].gather(1, tokens[0, 1:, None]).mean()
                assert table["passage"][3 + at] == pytest.approx(float(nll), abs=1e-4)
        assert caps.Capabilities(facts=0, passages=0).read(tiny, Condition(BASELINE)).empty

    def test_completions_are_those_of_each_alone(self, tiny: Any) -> None:
        items = tuple(own[at] for own in caps.capabilities().values() for at in range(2))
        table = Completions("all", items, wrong=True).read(tiny, Condition(BASELINE))
        for at, item in enumerate(items):
            right, *wrong = (float(loss(tiny, [caps.as_example(item, one)])) for one in (item.right, *item.wrong))
            assert table["all loss"][at] == pytest.approx(right, abs=1e-4) and table["all right"][at] == float(
                right < min(wrong)
            )
        bare = Completions("all", items).read(tiny, Condition(BASELINE))["all loss"]
        assert bare.tolist() == pytest.approx(table["all loss"].tolist(), abs=1e-4)

    def test_completions_that_the_vocabulary_does_not_tell_apart_tie(self, tiny: Any) -> None:
        item = Completion(stem="The door is", right=" red", wrong=(" red",), topic="")
        assert Completions("tie", (item,), wrong=True).read(tiny, Condition(BASELINE))["tie right"].tolist() == [0.0]

    @pytest.mark.real
    def test_a_real_model_knows_everyday_facts_and_without_attention_does_not(self, smollm2: Any) -> None:
        every = Circuit(heads=[(layer, head) for layer in range(30) for head in range(9)])
        known, lost = (
            caps.Capabilities(facts=40, passages=2).read(smollm2, condition)
            for condition in (Condition(BASELINE), Condition("off", every))
        )
        assert known["fact"].mean() > 0.7 > 0.5 > lost["fact"].mean()
        assert lost["passage"].mean() > known["passage"].mean() + 2

    def test_bad_input(self, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        items = caps.capabilities()["facts"]
        with pytest.raises(HarmcircuitsError, match="'few' has 2 sentences to attribute and 1 to test"):
            caps.check_sentences({"few": [replace(item, topic="") for item in items[:3]]}, fewest=5)
        with pytest.raises(HarmcircuitsError, match="right one among them"):
            caps.check_sentences({"twice": [Completion(stem=s, right=" a", wrong=(" a",), topic="") for s in "abcd"]}, fewest=2)
        monkeypatch.setattr("harmcircuits.data.examples.context_length", lambda model: 5)
        with pytest.raises(HarmcircuitsError, match="context holds 5"):
            caps.Capabilities(facts=2, passages=0).read(tiny, Condition(BASELINE))


@pytest.mark.parametrize("kind", ["facts", "arithmetic", "grammar"])
def test_sentences_are_unambiguous_and_halves_alike(kind: str) -> None:
    items = caps.capabilities()[kind]
    assert len({item.stem for item in items}) == len(items) >= 120
    for item in items:
        completions = (item.right, *item.wrong)
        assert len({one.casefold() for one in completions}) == len(completions) > 1, item
        assert all(one[0] == " " and one[1:] == one.strip() for one in completions) and item.stem == item.stem.strip()
        if kind == "facts":
            assert item.right.strip().casefold() not in item.stem.casefold().replace(",", "").split(), item
    training, test = (caps.half(items, which) for which in caps.HALVES)
    assert {*training, *test} == {*items} and not {*training} & {*test}
    counts = [Counter(item.topic for item in part) for part in (training, test)]
    assert all(abs(counts[0][topic] - counts[1][topic]) <= 1 for topic in counts[0])


@pytest.mark.parametrize(
    "texts", [[item.stem for item in caps.capabilities()["facts"]], caps.passages()], ids=["facts", "passages"]
)
def test_no_text_is_nearly_another_one(texts: list[str]) -> None:
    assert all(len(group) == 1 for group in near_duplicate_groups([Prompt(request=text) for text in texts]))
