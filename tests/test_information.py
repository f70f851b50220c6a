"""Request information: requests swapped within a category and role, and what a model that ignores them scores."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from triples import make_triples

from harmcircuits.ablation.ablate import BASELINE, Condition
from harmcircuits.data import Example, chat_frame, encode, loss
from harmcircuits.data.elicit import elicit
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.readings.loss import Information, swapped_requests

ROLES = ("harmful", "near")


def example(at: int, *, role: str = "harmful", category: str = "tea") -> Example:
    return Example(request=f"request {at}", prefill=f"prefill {at}", response=f"response {at}", role=role, category=category)


def drawn_examples(kinds: list[tuple[str, str]]) -> list[Example]:
    return [example(at, role=role, category=category) for at, (role, category) in enumerate(kinds)]


kinds = st.lists(st.tuples(st.sampled_from(ROLES), st.sampled_from(["tea", "bread", "kites", ""])), max_size=24)


@given(kinds, st.integers(0, 5))
def test_a_derangement_within_category_and_role(found: list[tuple[str, str]], seed: int) -> None:
    """Nobody keeps its own request; where a category has two or more of a role, every request there is used once."""
    counts = Counter(found)
    if max(counts.values(), default=0) < 2:
        return
    examples = drawn_examples(found)
    swapped = swapped_requests(examples, seed=seed)
    home = {one.request: (one.role, one.category) for one in examples}
    assert [*swapped] == [at for at, kind in enumerate(found) if counts[kind] > 1], "one alone is left out"
    for at, other in swapped.items():
        assert other == replace(examples[at], request=other.request), "prefill, response and everything else are kept"
        assert other.request != examples[at].request and home[other.request] == found[at]
    assert len({other.request for other in swapped.values()}) == len(swapped)


def test_examples_that_are_all_alone_are_an_error() -> None:
    with pytest.raises(HarmcircuitsError, match="no two of 3 examples share category and role"):
        swapped_requests(drawn_examples([("harmful", "tea"), ("harmful", "bread"), ("near", "tea")]))


def test_one_alone_has_no_information(tiny: Any, written: list[Example]) -> None:
    alone = replace(written[0], category="of its own")
    assert information(tiny, [*written[:4], alone]).isnan().tolist() == [False] * 4 + [True]


def test_categories_do_not_change_each_others_draw() -> None:
    """A new category leaves the swaps of the others as they were."""
    tea = drawn_examples([("harmful", "tea")] * 6)
    more = [*tea, *(example(9 + at, category="bread") for at in range(3))]
    assert {at: one for at, one in swapped_requests(more).items() if at < 6} == swapped_requests(tea)


@pytest.fixture(scope="module")
def written(tiny: Any) -> list[Example]:
    prompts = [prompt for prompt in make_triples(8).prompts if prompt.role == "harmful"]
    return elicit(tiny, prompts, max_new_tokens=6, cache=False)


def information(model: Any, examples: list[Example]) -> torch.Tensor:
    return torch.tensor(Information(tuple(examples)).read(model, Condition(BASELINE))["information"], dtype=torch.float32)


def test_information_is_the_loss_under_another_request_minus_its_own(tiny: Any, written: list[Example]) -> None:
    """Two swaps undo each other's requests: over two examples the same four losses are read either way."""
    pair = written[:1] + written[2:3]
    assert pair[0].category == pair[1].category
    crossed = [replace(pair[0], request=pair[1].request), replace(pair[1], request=pair[0].request)]
    torch.testing.assert_close(information(tiny, pair), loss(tiny, crossed) - loss(tiny, pair))
    assert information(tiny, pair).abs().min() > 1e-3


def test_a_model_that_does_not_see_the_request_has_none(tiny: Any) -> None:
    """Requests of four tokens each, and a hook that puts the same vectors in place of whatever they are."""
    requests = ("QXZJ", "KVBN", "ZZQK", "JXVB")
    assert {len(encode(tiny, request)) for request in requests} == {4}
    examples = [Example(request=request, response=" a loaf", category="tea", role="near") for request in requests]
    start = len(chat_frame(tiny).before)

    def blind(embedding: torch.Tensor, hook: object) -> torch.Tensor:
        hidden = embedding.clone()
        hidden[:, start : start + 4] = 0.5
        return hidden

    assert information(tiny, examples).abs().max() > 1e-3, "seeing them, it does depend on them"
    with tiny.hooks(fwd_hooks=[("hook_embed", blind)]):
        assert information(tiny, examples).abs().max() < 1e-5
