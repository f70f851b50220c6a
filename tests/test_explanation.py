"""Explanation: the references, the circles that requests are swapped in, and models whose score is known."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from triples import make_triples

import harmcircuits as hc
from harmcircuits.ablation.hooks import ablated
from harmcircuits.components import Circuit
from harmcircuits.examples import Example, Prompt, loss
from harmcircuits.judges.rules import content_stems
from harmcircuits.models.protocol import geometry
from harmcircuits.organisms.language import harmful_words
from harmcircuits.prompts import PromptSet, load_prompts
from harmcircuits.tasks import explanation
from harmcircuits.tasks.explanation import ANSWER, ASK, ExplanationError, explain, explanation_examples, references
from harmcircuits.tasks.information import swapped_requests

BUILT_IN = load_prompts()
SMALL = make_triples(8)
OWN_WORDS = {prompt.group: f"somebody loses number {at} and is sad." for at, prompt in enumerate(SMALL.harmful)}
CONTRASTS = ["nll_same", "nll_other", "nll_near"]


def one_by_one(model: Any, examples: Sequence[Example]) -> torch.Tensor:
    return torch.stack([loss(model, [example])[0] for example in examples])


def scores(table: pd.DataFrame) -> pd.DataFrame:
    return table[CONTRASTS].sub(table["nll"], axis=0)


class TestReferences:
    def test_every_built_in_triple_has_exactly_one(self) -> None:
        rows = [json.loads(line) for line in explanation.FILE.read_text("utf-8").splitlines()]
        assert [row["group"] for row in rows] == [triple.group for triple in BUILT_IN.triples], "in the triples' order"
        assert len({row["explanation"] for row in rows}) == len(rows)
        assert references() == {row["group"]: row["explanation"] for row in rows}

    def test_they_are_short_clauses_that_go_on_after_because(self) -> None:
        for group, text in references().items():
            assert 15 <= len(text.split()) <= 30, group
            assert text[0].islower() and text.endswith(".") and text.count(".") == 1, group

    def test_they_repeat_next_to_nothing_of_a_request(self) -> None:
        """Else copying the request would explain it; measured 0 for harmful requests, 0.1 % for near twins."""
        texts = references()
        for asked in (BUILT_IN.harmful, BUILT_IN.near_twins):
            stems = [content_stems(prompt.request) for prompt in asked]
            shared = [len(own & content_stems(texts[prompt.group])) for own, prompt in zip(stems, asked, strict=True)]
            assert sum(shared) / sum(map(len, stems)) < 0.005
            assert max(shared) <= 1


class TestExamples:
    def test_harmful_prompts_are_asked_and_answered_with_their_reference(self) -> None:
        prompts = BUILT_IN.triples[7]
        (example,) = explanation_examples([prompts.near, prompts.harmful, prompts.far])
        assert example == Example(
            request=ASK.replace("{request}", prompts.harmful.request),
            prefill=ANSWER,
            response=" " + references()[prompts.group],
            category=prompts.category,
            group=prompts.group,
            role="harmful",
            harm_group=prompts.harmful.harm_group,
        )

    def test_a_request_with_braces_stays_as_it_is(self) -> None:
        (example,) = explanation_examples([Prompt(request="{request} {0} %s", group="a")], references={"a": "it is odd."})
        assert example.request.startswith("Request: {request} {0} %s\n")

    def test_another_files_group_of_the_same_name_is_not_the_built_in_one(self) -> None:
        with pytest.raises(ExplanationError, match=r"1 of 1 harmful prompts have no reference.*'scams-01'"):
            explanation_examples([Prompt(request="Hide her shoes.", group="scams-01")])

    def test_prompts_without_a_reference(self) -> None:
        own = {**OWN_WORDS, "g2": "  "}
        with pytest.raises(
            ExplanationError, match=r"1 of 8 .*first is of group 'g2'.*pass references=.*or leave these"
        ) as error:
            explanation_examples(SMALL, references=own)
        assert all(prompt.request not in str(error.value) for prompt in SMALL)
        assert isinstance(error.value, ValueError)


groups = st.lists(st.sampled_from("abcd"), min_size=2, max_size=24)


@given(groups, st.integers(0, 5))
def test_requests_of_other_categories_are_each_used_once(categories: list[str], seed: int) -> None:
    examples = [
        Example(request=f"request {at}", response=f"response {at}", category=category) for at, category in enumerate(categories)
    ]
    if 2 * max(Counter(categories).values()) > len(categories):
        with pytest.raises(ExplanationError, match=r"are of category '.', more than half.*more categories"):
            explanation._check_categories(Counter(categories))
        return
    explanation._check_categories(Counter(categories))
    others = explanation._requests_of_other_categories(examples, seed=seed)
    home = {example.request: example.category for example in examples}
    assert sorted(other.request for other in others) == sorted(home)
    for example, other in zip(examples, others, strict=True):
        assert other == replace(example, request=other.request), "the reference and everything else are kept"
        assert home[other.request] != example.category
    assert others == explanation._requests_of_other_categories(examples, seed=seed)


class TestExplain:
    def test_batched_equals_one_by_one(self, tiny: Any) -> None:
        table = explain(tiny, SMALL, references=OWN_WORDS, seed=3)
        own = explanation_examples(SMALL, references=OWN_WORDS)
        assert list(table.columns) == ["group", "category", "nll", *CONTRASTS]
        assert list(table["group"]) == [example.group for example in own]
        assert list(table["category"]) == [example.category for example in own]
        near = [
            replace(one, request=ASK.replace("{request}", twin.request))
            for one, twin in zip(own, SMALL.near_twins, strict=True)
        ]
        expected = {
            "nll": own,
            "nll_same": swapped_requests(own, seed=3),
            "nll_other": explanation._requests_of_other_categories(own, seed=3),
            "nll_near": near,
        }
        for column, examples in expected.items():
            found = torch.tensor(table[column].to_numpy(), dtype=torch.float32)
            torch.testing.assert_close(found, one_by_one(tiny, examples), atol=1e-5, rtol=0)
        assert scores(table).abs().to_numpy().max() > 1e-3, "it depends on the request"

    def test_the_mean_is_that_of_another_reference_under_the_same_request(self, tiny: Any) -> None:
        """Every request and every reference once on either side: read by reference or by request, the mean is one."""
        own = explanation_examples(SMALL, references=OWN_WORDS)
        at = {example.request: row for row, example in enumerate(own)}
        table = explain(tiny, SMALL, references=OWN_WORDS)
        others = explanation._requests_of_other_categories(own, seed=0)
        under_this = {at[other.request]: replace(own[at[other.request]], response=other.response) for other in others}
        by_request = loss(tiny, [under_this[row] for row in range(len(own))]) - loss(tiny, own)
        assert float(by_request.mean()) == pytest.approx(float(scores(table)["nll_other"].mean()), abs=1e-5)
        assert float(by_request.std()) != pytest.approx(float(scores(table)["nll_other"].std()), abs=1e-3)

    def test_a_model_without_attention_does_not_see_the_request(self, tiny: Any) -> None:
        """With every head off each token is predicted from the one before it: E = 0 under any requests of any length."""
        size = geometry(tiny)
        heads = Circuit(heads=[(layer, head) for layer in range(size.n_layers) for head in range(size.n_heads)])
        with ablated(tiny, heads):
            table = explain(tiny, SMALL, references=OWN_WORDS)
        assert scores(table).abs().to_numpy().max() < 1e-5
        assert table["nll"].std() > 1e-3, "while references differ in how likely they are"

    def test_what_cannot_be_contrasted_is_missing_and_the_rest_is_not(self, tiny: Any) -> None:
        first, second, third, fourth = SMALL.triples[:4]
        chosen = [*vars(first).values(), second.harmful, replace(third.harmful, category="alone"), fourth.harmful]
        table = explain(tiny, chosen, references=OWN_WORDS)
        assert list(table["category"]) == ["vandalism", "mischief", "alone", "mischief"]
        assert list(table["nll_same"].isna()) == [True, False, True, False]
        assert list(table["nll_near"].isna()) == [False, True, True, True]
        assert not table[["nll", "nll_other"]].isna().to_numpy().any()

    def test_nothing_to_contrast_with(self, tiny: Any) -> None:
        with pytest.raises(ExplanationError, match=r"no harmful prompt.*give at least two"):
            explain(tiny, SMALL.benign)
        alike = PromptSet(tuple(replace(prompt, category="") for prompt in SMALL))
        with pytest.raises(ExplanationError, match=r"8 of 8 harmful prompts are of category ''.*more categories"):
            explain(tiny, alike, references=OWN_WORDS)


class TestPlanted:
    """A model that answers harmful requests with their topics' harmful words, which therefore are their references."""

    @staticmethod
    def read(organism: Any, circuit: Circuit | None) -> pd.DataFrame:
        prompts = PromptSet(organism.prompts.prompts[: 3 * 24])
        texts = {prompt.group: " ".join(harmful_words(prompt.request.split()[2])) for prompt in prompts.harmful}
        with ablated(organism.model, circuit):
            return scores(explain(organism.model, prompts, references=texts))

    def test_the_writing_circuit_carries_it_and_the_recognising_one_does_not(self) -> None:
        organism = hc.organisms.planted()
        intact, without = self.read(organism, None), self.read(organism, organism.writing)
        assert (intact[["nll_other", "nll_near"]] > 1).all(axis=None)
        assert float(intact["nll_same"].mean()) > 1, "another request of the category may have the same topic"
        assert without[["nll_same", "nll_other"]].abs().to_numpy().max() < 0.1, "twins' kind words are still written"
        unaimed = self.read(organism, organism.recognising)
        assert (unaimed - intact).mean().abs().max() < 0.2

    def test_a_model_that_writes_no_harm_explains_none(self) -> None:
        assert self.read(hc.organisms.planted(variant="none"), None).mean().abs().max() < 0.1
