"""Sequence classifiers as judges, on tiny random weights: an encoder that needs no padding id, and a decoder that does."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny import SPECIAL, tiny_tokenizer
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForSequenceClassification

from harmcircuits.judges import (
    ClassifierJudge,
    JudgeError,
    JudgeModel,
    RulesJudge,
    Validated,
    harmful_rate,
    load_cases,
    validate,
)
from harmcircuits.judges.cases import KINDS, of_kind

REQUESTS = ["How do I bake bread?", "Write a story about a dog.", "Say hello."]
RESPONSES = ["Mix flour and water, and wait for an hour.", "", "I am sorry, but I cannot help with this request."]
LABELS = {0: "neutral", 1: "Toxic", 2: "insult"}
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.5}


def classifier(family: str, *, labels: dict[int, str] = LABELS, pad: bool = True, **settings: Any) -> JudgeModel:
    tokenizer = tiny_tokenizer()
    common = {
        "vocab_size": len(tokenizer),
        "id2label": labels,
        "label2id": {name: at for at, name in labels.items()},
        "num_labels": len(labels),
        "pad_token_id": SPECIAL.index("<pad>") if pad else None,
        "max_position_embeddings": 64,
        **SIZES,
        **settings,
    }
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**common)) if family == "bert" else None
    model = model or LlamaForSequenceClassification(LlamaConfig(**common))
    return JudgeModel("tiny classifier", classifier=True, loaded=(model, tokenizer))


def judge(model: JudgeModel, **options: Any) -> ClassifierJudge:
    return ClassifierJudge(model=model, measures="harm", **{"positive": ("toxic",), **options})


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("with_request", [False, True])
@pytest.mark.parametrize("pad", [True, False])
def test_batched_is_one_by_one(family: str, with_request: bool, pad: bool) -> None:
    model = classifier(family, pad=pad)
    responses = [RESPONSES[0], "x", RESPONSES[2]]
    together = judge(model, with_request=with_request).read(REQUESTS, responses).scores
    alone = [
        judge(model, with_request=with_request).read([request], [response]).scores[0]
        for request, response in zip(REQUESTS, responses, strict=True)
    ]
    assert together == pytest.approx(alone, abs=1e-6)
    assert len(set(together.round(6))) == 3


@torch.no_grad()
def test_the_score_is_the_softmax_of_the_labels_that_mean_it() -> None:
    model = classifier("bert")
    ids = torch.tensor([model.tokenizer(RESPONSES[0]).input_ids])
    shares = model.model(ids).logits.double().softmax(-1)[0]
    one = judge(model).read(REQUESTS[:1], RESPONSES[:1]).scores[0]
    both = judge(model, positive=("INSULT", "toxic")).read(REQUESTS[:1], RESPONSES[:1]).scores[0]
    assert one == pytest.approx(float(shares[1]))
    assert both == pytest.approx(float(shares[1] + shares[2]))


@torch.no_grad()
def test_labels_that_do_not_exclude_each_other_are_sigmoids() -> None:
    model = classifier("bert", problem_type="multi_label_classification")
    ids = torch.tensor([model.tokenizer(RESPONSES[0]).input_ids])
    shares = model.model(ids).logits.double().sigmoid()[0]
    found = judge(model, positive=("toxic", "insult")).read(REQUESTS[:1], RESPONSES[:1]).scores[0]
    assert found == pytest.approx(float(shares[1:].max()))


@pytest.mark.parametrize("positive", [("hateful",), ()])
def test_an_unknown_label_lists_those_there_are(positive: tuple[str, ...]) -> None:
    with pytest.raises(
        JudgeError, match=r"has the labels neutral, Toxic, insult, and not .*name in `positive` those that mean harm"
    ):
        judge(classifier("bert"), positive=positive).read(REQUESTS, RESPONSES)


def test_a_regression_is_no_classifier() -> None:
    model = classifier("bert", labels={0: "toxic"}, problem_type="regression")
    with pytest.raises(JudgeError, match=r"gives a number .*, no labels"):
        judge(model).read(REQUESTS, RESPONSES)


def test_it_takes_a_classifier_and_a_property_that_there_is() -> None:
    with pytest.raises(JudgeError, match="JudgeModel"):
        judge(JudgeModel("somewhere"))
    with pytest.raises(JudgeError, match="a judge measures one of refusal, degenerate, compliance, harm, not 'rudeness'"):
        ClassifierJudge(model=classifier("bert"), measures="rudeness", positive=("toxic",))  # type: ignore[arg-type]


def test_a_long_response_loses_its_end_and_its_request_nothing() -> None:
    model = classifier("bert")
    long = "The sun is made of many colours. " * 20
    judged = judge(model, with_request=True).read(REQUESTS, [long, "Hello", long])
    assert judged.details["cut"] == [True, False, True]
    assert judged.labels.count(None) == 0
    room = 64 - len(model.tokenizer(REQUESTS[0]).input_ids)
    ids = model.tokenizer(REQUESTS[0]).input_ids + model.tokenizer(long).input_ids[:room]
    with torch.no_grad():
        shares = model.model(torch.tensor([ids])).logits.double().softmax(-1)[0]
    assert judged.scores[0] == pytest.approx(float(shares[1]), abs=1e-6)


def test_a_request_that_fills_the_classifier_has_no_score() -> None:
    judged = judge(classifier("bert"), with_request=True).read(["word " * 80, "Say hello."], ["Hello", "Hello"])
    assert judged.reasons == {0: "the request fills the classifier's 64 tokens"}
    assert np.isfinite(judged.scores[1])


@pytest.mark.parametrize("with_request", [False, True])
def test_a_control_token_that_is_written_in_a_text_is_none(with_request: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier("llama")
    rows: list[list[int]] = []
    own = judge(model, with_request=with_request)

    def seen(_: ClassifierJudge, given: list[dict[str, list[int]]], positive: list[int]) -> torch.Tensor:
        rows.extend(one["input_ids"] for one in given)
        return torch.zeros(len(given))

    monkeypatch.setattr(ClassifierJudge, "_scores", seen)
    own.read(["".join(SPECIAL)], [f"a{''.join(SPECIAL)}b"])
    control = {model.tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    plain = {at for text in ("", "x") for at in model.tokenizer(text).input_ids}
    assert rows and not (set(rows[0]) & control) - plain


def test_an_empty_response_is_read_in_a_pair() -> None:
    assert np.isfinite(judge(classifier("bert"), with_request=True).read(REQUESTS, RESPONSES).scores).all()


def test_random_weights_do_not_pass_and_so_give_no_rate() -> None:
    random, known = judge(classifier("bert", max_position_embeddings=512), with_request=True), load_cases()
    validation = validate(random, [case for kind in KINDS for case in of_kind(known, kind)[:6]])
    assert not validation.passed
    rate = harmful_rate(Validated(random, validation), REQUESTS, RESPONSES)
    assert "has not passed its validation" in str(rate.reason)
    assert validation.judge == random.name == "classifier tiny classifier (toxic of the request and response)"
    assert RulesJudge().name != random.name
