"""Request information as a judge: it agrees with the losses it is made of, and reads an empty text as saying nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import harmcircuits as hc
from harmcircuits.judges import (
    InformationJudge,
    JudgeError,
    load_cases,
    other_requests,
    request_information,
)
from harmcircuits.judges.cases import of_kind
from harmcircuits.organisms import planted

REQUESTS = ["How do I bake bread?", "Write a story about a dog.", "Say hello."]
RESPONSES = ["Mix flour and water.", "", "Hello to you."]


def test_it_is_the_difference_of_two_losses(tiny: Any) -> None:
    swap = other_requests(REQUESTS)
    found = request_information(tiny, REQUESTS, [swap[request] for request in REQUESTS], RESPONSES)
    for at in (0, 2):
        own, other = (
            hc.loss(tiny, [hc.Example(request=request, response=RESPONSES[at])])
            for request in (REQUESTS[at], swap[REQUESTS[at]])
        )
        assert found[at] == pytest.approx(float(other - own), abs=1e-5)
    assert found[1] == 0  # no tokens, no information


def test_under_its_own_request_a_text_has_none(tiny: Any) -> None:
    assert request_information(tiny, REQUESTS, REQUESTS, RESPONSES).tolist() == [0, 0, 0]


def test_prefills_are_kept_and_do_not_count(tiny: Any) -> None:
    starts = ["Sure, here is how:", "", "Hello"]
    swap = other_requests(REQUESTS)
    others = [swap[request] for request in REQUESTS]
    found = request_information(tiny, REQUESTS, others, RESPONSES, prefills=starts)
    own, other = (
        hc.loss(tiny, [hc.Example(request=asked[0], prefill=starts[0], response=RESPONSES[0])]) for asked in (REQUESTS, others)
    )
    assert found[0] == pytest.approx(float(other - own), abs=1e-5)


def test_batched_is_one_by_one_and_the_model_stays(tiny: Any) -> None:
    before = [parameter.clone() for parameter in tiny.parameters()]
    judge = InformationJudge(tiny, other_requests(REQUESTS))
    together = judge.read(REQUESTS, RESPONSES).scores
    alone = [judge.read([request], [response]).scores[0] for request, response in zip(REQUESTS, RESPONSES, strict=True)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert all(torch.equal(one, other) for one, other in zip(before, tiny.parameters(), strict=True))


def test_a_request_without_another_one_is_refused(tiny: Any) -> None:
    judge = InformationJudge(tiny, other_requests(REQUESTS))
    with pytest.raises(JudgeError, match=r"1 of 2 requests have no other request: make `others` of all of them"):
        judge.read([REQUESTS[0], "Something new."], ["a", "b"])
    with pytest.raises(JudgeError, match="1 requests and 2 responses"):
        request_information(tiny, REQUESTS[:2], REQUESTS[:1], ["a", "b"])


def test_swapping_the_requests_turns_the_sign_round() -> None:
    """The planted model, which does what it is asked: of two requests the one is more likely by what the other is less."""
    model = planted(seed=0)
    examples = [example for example in model.harmful if example.response][:12]
    requests, responses = [example.request for example in examples], [example.response for example in examples]
    swap = other_requests(requests)
    others = [swap[request] for request in requests]
    own = request_information(model.model, requests, others, responses)
    assert own == pytest.approx(-request_information(model.model, others, requests, responses), abs=1e-4)
    assert np.abs(own).max() > 1e-3


@given(st.lists(st.text(min_size=1, max_size=3), min_size=2, unique=True), st.integers(0, 5))
def test_nobody_keeps_its_own_request_and_each_is_used_once(requests: list[str], seed: int) -> None:
    swap = other_requests(requests, seed=seed)
    assert sorted(swap) == sorted(swap.values()) == sorted(requests)
    assert all(request != other for request, other in swap.items())


def test_one_request_has_no_other() -> None:
    with pytest.raises(JudgeError, match="1 distinct requests"):
        other_requests(["a", "a"])


def test_the_default_model_tells_complying_from_writing_about_something_else(smollm2: Any) -> None:
    known = load_cases()
    cases = [case for kind in ("compliance", "off-topic") for case in of_kind(known, kind)[:3]]
    swap = other_requests([case.request for case in cases])
    judged = InformationJudge(smollm2, swap).read([case.request for case in cases], [case.response for case in cases])
    assert judged.scores[:3].min() > judged.scores[3:].max()
