"""What results show of themselves: a line, and in a notebook a sentence and a table; never a response."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

import harmcircuits as hc
from harmcircuits.attribution.scores import Attribution
from harmcircuits.judges import Case
from harmcircuits.organisms.advice import Advice
from harmcircuits.results import ROWS, notebook_html

SECRET = "sesame opens the cave"
EXAMPLE = hc.Example(request="Tell me a tale", prefill="Once", response=SECRET, category="tales", role="near")


def test_text_and_cells_stay_text() -> None:
    frame = pd.DataFrame({"<i>": ["<script>x</script>", None], "n": [0.000123456, float("nan")]})
    fragment = notebook_html("a <b> & c", frame)
    assert "<script>" not in fragment and "<i>" not in fragment
    assert "a &lt;b&gt; &amp; c" in fragment and "0.000123" in fragment and "None" not in fragment and "nan" not in fragment


@pytest.mark.parametrize("name", ["Attribution", "Circuit", "PromptSet", "Planted"])
def test_a_result_shows_itself(name: str) -> None:
    random = torch.Generator().manual_seed(0)
    result = {
        "Attribution": lambda: Attribution(*(torch.randn(8, 30, n, generator=random) for n in (9, 40))),
        "Circuit": lambda: hc.Circuit(heads=[(at, 1) for at in range(9)], neurons=[(at % 30, at) for at in range(138)]),
        "PromptSet": hc.load_prompts,
        "Planted": hc.organisms.planted,
    }[name]()
    line, fragment = repr(result), result._repr_html_()
    assert line.startswith(f"{name}(") and len(line) <= 100 and "\n" not in line
    assert 2 <= fragment.count("<tr") <= ROWS + 1, "a header and at most so many rows"


def test_no_line_and_no_page_shows_a_response() -> None:
    ids = tuple(range(7, 31))
    written = replace(EXAMPLE, response_ids=ids)
    assert repr(EXAMPLE) == f"Example('Tell me a tale', near, tales, {len(SECRET)} characters)"
    assert repr(written) == "Example('Tell me a tale', near, tales, 24 response tokens)"
    for shown in (repr(EXAMPLE), repr(written), repr([written]), f"{written}"):
        assert not any(word in shown for word in SECRET.split()) and "7, 8" not in shown
    advice = Advice(id="a", domain="a", question="Where to?", good=SECRET, bad=SECRET)
    for one in (advice, Case("Where to?", SECRET, "compliance")):
        assert "Where to?" in repr(one) and not any(word in repr(one) for word in SECRET.split())
