"""Where a component is most active, and where a head looks: against TransformerLens' own cache."""

from pathlib import Path
from typing import Any

import pytest
import torch
from comparisons import untouched
from tiny import tiny_bridge

import harmcircuits as hc
from harmcircuits.data import Example, example_rows
from harmcircuits.data.examples import pieces
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.inspection import HIDDEN

HEAD, NEURON = (1, 2), (0, 5)
ASKED = {"context": lambda row: range(row.start), "response": lambda row: range(row.start, row.stop)}


def by_cache(model: Any, examples: list[Example], *, head: tuple | None = None, neuron: tuple | None = None) -> dict:
    """The value at each (example, position), one row at a time, from a full cache."""
    found = {}
    for example, row in enumerate(example_rows(model, examples)):
        with torch.no_grad():
            _, cache = model.run_with_cache(torch.tensor([row.tokens]))
        if head is not None:
            own = cache[f"blocks.{head[0]}.attn.hook_z"][0, :, head[1]].norm(dim=-1)
        else:
            own = cache[f"blocks.{neuron[0]}.mlp.hook_post"][0, :, neuron[1]]
        found |= {(example, position): float(value) for position, value in enumerate(own)}
    return found


@pytest.mark.parametrize("where", ["context", "response", "all"])
@pytest.mark.parametrize("one", [{"head": HEAD}, {"neuron": NEURON}])
def test_top_tokens_are_the_largest_of_all_tokens_asked(tiny: Any, examples: list[Example], one: dict, where: str) -> None:
    known, rows = by_cache(tiny, examples, **one), example_rows(tiny, examples)
    asked = {place: value for place, value in known.items() if where == "all" or place[1] in ASKED[where](rows[place[0]])}
    with untouched(tiny, trainable=False):
        found = hc.top_tokens(tiny, examples, **one, where=where, k=12, batch_size=3)
    places = list(zip(found["example"], found["position"], strict=True))
    assert len(set(places)) == min(12, len(asked)) and set(places) <= set(asked)
    assert found["value"].tolist() == pytest.approx([asked[place] for place in places], abs=1e-5)
    largest = sorted(map(abs, asked.values()), reverse=True)[: len(places)]
    assert found["value"].abs().tolist() == pytest.approx(largest, abs=1e-5)
    for row in found.itertuples():
        assert row.part == ("context" if row.position < rows[row.example].start else "response")


def test_words_of_responses_are_hidden_unless_asked_for(tiny: Any, examples: list[Example]) -> None:
    hidden = hc.top_tokens(tiny, examples, neuron=NEURON, where="all", k=1000)
    shown = hc.top_tokens(tiny, examples, neuron=NEURON, where="all", k=1000, words=True)
    assert len(hidden) == sum(len(row.tokens) for row in example_rows(tiny, examples)), "every token is in the table"
    assert (hidden.loc[hidden["part"] == "response", "token"] == HIDDEN).all()
    assert (hidden.loc[hidden["part"] == "context", "token"] == shown.loc[shown["part"] == "context", "token"]).all()
    text = " ".join(hidden["context"])
    assert "flour" not in text and "city" not in text and "bread" in text
    assert "flour" in " ".join(shown["context"])


def test_a_token_is_shown_in_its_context(tiny: Any) -> None:
    example = Example(request="Bake bread, bake bread, and bake more bread", response="x")
    found = hc.top_tokens(tiny, [example], neuron=NEURON, k=3, words=True)
    text = pieces(tiny, example_rows(tiny, [example])[0].tokens)
    for row in found.itertuples():
        around = text[max(0, row.position - 5) : row.position], text[row.position + 1 : row.position + 6]
        assert row.context == f"{''.join(around[0])}[{text[row.position]}]{''.join(around[1])}"
        assert (row.token, row.part, row.example) == (text[row.position], "context", 0)


def test_pieces_put_together_are_the_text(tiny: Any) -> None:
    text = "How do I bake bread at home? Über den Wolken, 你好."
    ids = tiny.tokenizer(text, add_special_tokens=False).input_ids
    assert "".join(pieces(tiny, tiny.tokenizer("How do I bake", add_special_tokens=False).input_ids)) == "How do I bake"
    assert len(pieces(tiny, ids)) == len(ids) and pieces(tiny, []) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": HEAD, "k": 0}, "k=0"),
        ({"head": HEAD, "where": "prefill"}, "where='prefill'.*'context', 'response', 'all'"),
        ({}, "give one component: head="),
    ],
)
def test_what_makes_no_sense_is_refused(tiny: Any, examples: list[Example], options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hc.top_tokens(tiny, examples, **options)


# attention


def test_a_pattern_is_that_of_the_cache(tiny: Any, examples: list[Example]) -> None:
    for example, row in zip(examples, example_rows(tiny, examples), strict=True):
        with torch.no_grad():
            _, cache = tiny.run_with_cache(torch.tensor([row.tokens]))
        found = hc.attention_pattern(tiny, example, head=HEAD)
        torch.testing.assert_close(found.pattern, cache[f"blocks.{HEAD[0]}.attn.hook_pattern"][0, HEAD[1]], atol=1e-6, rtol=0)
        assert (found.component, found.n_context, len(found.tokens)) == ("L1H2", row.start, len(row.tokens))
        torch.testing.assert_close(found.pattern.sum(-1), torch.ones(len(row.tokens)))
        assert found.pattern.triu(1).abs().max() == 0


def test_figure_and_text_hide_the_response(tiny: Any, examples: list[Example]) -> None:
    found = hc.attention_pattern(tiny, examples[1], head=HEAD)
    assert "city" in "".join(found.tokens)
    for drawn in (found.figure(), found.figure(words=True)):
        assert drawn.data[0].z.shape == found.pattern.shape and drawn.layout.meta["alt"]
    words = {text for line in found.figure().data[0].hovertext for text in line}
    assert all(HIDDEN in text for text in words if f"query {found.n_context}: " in text)
    assert repr(found) == f"AttentionPattern(L1H2, {found.n_context} of {len(found.tokens)} tokens before the response)"


def test_a_layer_without_patterns_is_refused(examples: list[Example], tmp_path: Path) -> None:
    model = tiny_bridge(tmp_path / "model")

    class Without:
        def __getattr__(self, name: str) -> Any:
            return getattr(model, name)

        hook_dict = {name: point for name, point in model.hook_dict.items() if not name.endswith("hook_pattern")}  # noqa: RUF012

    with pytest.raises(HarmcircuitsError, match=r"no hook point 'blocks\.1\.attn\.hook_pattern'"):
        hc.attention_pattern(Without(), examples[0], head=HEAD)
