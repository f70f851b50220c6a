"""What results show of themselves: a line, and in a notebook a sentence and a table; never a response."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import harmcircuits as hc
from harmcircuits.attribution.scores import Attribution
from harmcircuits.attribution.weights import WeightAttribution
from harmcircuits.inspection import DirectEffects
from harmcircuits.results import ROWS, notebook_html

SECRET = "sesame opens the cave"
EXAMPLE = hc.Example(request="Tell me a tale", prefill="Once", response=SECRET, category="tales", role="near")


def test_text_and_cells_stay_text() -> None:
    frame = pd.DataFrame({"<i>": ["<script>x</script>", None], "n": [0.000123456, float("nan")]})
    fragment = notebook_html("a <b> & c", frame)
    assert "<script>" not in fragment and "<i>" not in fragment
    assert "a &lt;b&gt; &amp; c" in fragment and "0.000123" in fragment and "None" not in fragment and "nan" not in fragment


class Silent:
    name, measures = "silent", "refusal"

    def read(self, requests: Sequence[str], responses: Sequence[str]) -> list[bool | None]:
        return [None] * len(responses)


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
        "Validated": hc.judges.validate(Silent()),
        "DirectEffects": direct_effects(),
    }


def direct_effects() -> DirectEffects:
    effect = np.array([0.5, 0.25, -0.125, -0.5])
    around = {"effect": effect, "low": effect - 0.25, "high": effect + 0.25}
    tokens = pd.DataFrame({"token": [" a", "b", "c", "d"], "id": range(4)} | around)
    return DirectEffects(component="L129N8455", per_example=torch.linspace(-1, 2, 1000), tokens=tokens)


RESULTS = results()


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_shows_itself(name: str) -> None:
    result = RESULTS[name]
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


def test_other_texts_that_are_answers_are_not_shown() -> None:
    from harmcircuits.organisms.advice import Advice

    advice = Advice(id="tales-1", domain="tales", question="Where to?", good=SECRET, bad=SECRET)
    case = hc.judges.Case(request="Where to?", response=SECRET, kind="compliance")
    for one in (advice, case):
        assert "Where to?" in repr(one) and not any(word in repr(one) for word in SECRET.split())
