"""What results show of themselves: a line, and in a notebook a sentence, a table and a figure; never a response."""

import html
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch

import harmcircuits as hc
from harmcircuits.attribution.scores import Attribution
from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.figures.style import figure
from harmcircuits.inspection import DirectEffects
from harmcircuits.notebook import ROWS, notebook_html

SECRET = "sesame opens the cave"
EXAMPLE = hc.Example(request="Tell me a tale", prefill="Once", response=SECRET, category="tales", role="near")


def drawn() -> go.Figure:
    made = figure(title="Is <b> shown?", height=200, caption="c", alt='a "quoted" </iframe> text')
    return made.add_scatter(x=[1, 2], y=[3, 4], text=["</script><b>", "é"])


def page_of(fragment: str) -> str:
    """The page in the frame, as a browser reads the attribute."""
    return html.unescape(fragment.split('srcdoc="')[1].split('"')[0])


def test_text_and_cells_stay_text() -> None:
    frame = pd.DataFrame({"<i>": ["<script>x</script>", None], "n": [0.000123456, float("nan")]})
    fragment = notebook_html("a <b> & c", frame, remarks=["<u>"])
    assert "<script>" not in fragment and "<i>" not in fragment and "<u>" not in fragment
    assert "a &lt;b&gt; &amp; c" in fragment and "0.000123" in fragment and "None" not in fragment and "nan" not in fragment


def test_a_figure_is_a_page_of_its_own_that_fetches_nothing() -> None:
    fragment = notebook_html("x", figure=drawn)
    assert fragment.count("<iframe") == 1 and fragment.endswith("</iframe>")
    page = page_of(fragment)
    without_plotly = page.replace(page.split('atob("')[1].split('"')[0], "")
    assert not any(mark in without_plotly for mark in ("src=", "http:", "https:", "import ")) and len(without_plotly) < 10_000
    assert "default-src 'none'" in page, "and may not, whatever it holds"
    assert page.count("</script>") == page.count("<script") == 3, "what the figure says cannot end a script"
    assert f"height: {drawn().layout.height + 4}px" in fragment, "until the page in it is drawn, and tells its own"
    assert len(fragment) < 2_200_000


def results() -> dict[str, Any]:
    """One of each that is made without a model."""
    generator = torch.Generator().manual_seed(0)
    scores = Attribution(*(torch.randn(8, 30, n, generator=generator) for n in (9, 40)))
    other = Attribution(*(torch.randn(8, 30, n, generator=generator) for n in (9, 40)))
    matrix = {"blocks.0.mlp.out": torch.randn(6, 5, generator=generator)}
    prompts = hc.load_prompts()
    circuit = hc.Circuit(heads=[(at, 1) for at in range(9)], neurons=[(at % 30, at) for at in range(138)])
    return {
        "Attribution": scores,
        "WeightAttribution": WeightAttribution(matrix, matrix, 8),
        "Agreement": scores.compare(other, names=("one", "two")),
        "Circuit": circuit,
        "WeightMask": hc.WeightMask(indices={"blocks.0.mlp.out": [1, 2]}, shapes={"blocks.0.mlp.out": (6, 5)}),
        "PromptSet": prompts,
        "Planted": hc.organisms.planted(),
        "Validated": hc.judges.validate(hc.judges.RulesJudge("refusal")),
        "DirectEffects": direct_effects(),
    }


def direct_effects() -> DirectEffects:
    effect = np.array([0.5, 0.25, -0.125, -0.5])
    around = {"effect": effect, "low": effect - 0.25, "high": effect + 0.25}
    tokens = pd.DataFrame({"token": [" a", "b", "c", "d"], "id": range(4)} | around)
    return DirectEffects(component="neuron 129.8455", per_example=torch.linspace(-1, 2, 1000), tokens=tokens)


RESULTS = results()
DRAWN = {"Attribution", "WeightAttribution", "Agreement", "Circuit", "WeightMask"}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_shows_itself(name: str) -> None:
    result = RESULTS[name]
    line, fragment = repr(result), result._repr_html_()
    assert line.startswith(f"{name}(") and len(line) <= 100 and "\n" not in line
    assert 2 <= fragment.count("<tr") <= ROWS + 1, "a header and at most so many rows"
    assert fragment.count("<iframe") == (name in DRAWN)


def test_no_line_and_no_page_shows_a_response() -> None:
    ids = tuple(range(7, 31))
    written = replace(EXAMPLE, response_ids=ids)
    assert repr(EXAMPLE) == f"Example('Tell me a tale', near, tales, {len(SECRET)} characters)"
    assert repr(written) == "Example('Tell me a tale', near, tales, 24 response tokens)"
    for shown in (repr(EXAMPLE), repr(written), repr([written]), f"{written}"):
        assert not any(word in shown for word in SECRET.split()) and "7, 8" not in shown


def test_other_texts_that_are_answers_are_not_shown() -> None:
    from harmcircuits.organisms.advice import Advice

    advice = Advice(id="tales-1", domain="tales", question="Where to?", good=SECRET, bad=SECRET)
    case = hc.judges.Case(request="Where to?", response=SECRET, kind="compliance")
    for one in (advice, case):
        assert "Where to?" in repr(one) and not any(word in repr(one) for word in SECRET.split())
