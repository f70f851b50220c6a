"""The numbers behind the gallery's figures draw what the objects themselves draw, and hold no word of a prompt or response."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pages import DOCS, ROOT
from small_scores import drawn as drawn_scores
from tiny import tiny_bridge
from written import written

import harmcircuits as hc
from harmcircuits.attribution.drawn import heads_figure, neurons_figure

MODEL = DOCS / "results" / "smollm2-135m-instruct"
CIRCUIT = hc.Circuit(heads=[(0, 1)], neurons=[(1, 2), (2, 9)])


def _script(folder: str, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gallery, figures = _script("benchmarks", "gallery"), _script("tools", "docs_figures")


def saved(value: Any) -> Any:
    return json.loads(json.dumps(value))


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from strings(inner)


def test_heads_and_neurons_are_drawn_from_the_file_as_by_their_own_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "DIGITS", 17)  # the file's own six would round a hover's last digit another way
    scores = drawn_scores(0)
    rows = {kind: gallery.scored(scores, kind, CIRCUIT) for kind in ("heads", "neurons")}
    shape = {kind: list(getattr(scores, kind).shape) for kind in rows}
    found = figures._of_places(saved({**rows, "shape": shape, "top": scores.neurons.numel(), "responses": []}))
    heads, own = found["heads"](), heads_figure(scores, selected=CIRCUIT.heads)
    assert heads.data[0].text == own.data[0].text and "95 % interval" in heads.data[0].text[0][0]
    assert heads.layout.meta["alt"] == own.layout.meta["alt"]
    neurons, own = found["neurons"](), neurons_figure(scores, selected=CIRCUIT.neurons)
    assert neurons.layout.meta == own.layout.meta
    for drawn, other in zip(neurons.data, own.data, strict=True):
        assert list(drawn.y) == pytest.approx(list(other.y), nan_ok=True)


def test_of_neurons_the_largest_and_the_selected_are_written() -> None:
    scores = drawn_scores(1)
    rows = gallery.scored(scores, "neurons", CIRCUIT, top=4)
    largest = {divmod(int(flat), scores.neurons.shape[1]) for flat in scores.neurons.abs().flatten().topk(4).indices}
    assert {(row["layer"], row["index"]) for row in rows} == largest | set(CIRCUIT.neurons)
    assert [(row["layer"], row["index"]) for row in rows if row["selected"]] == list(CIRCUIT.neurons)


def test_tokens_are_drawn_from_the_file_as_by_their_own_figure(tmp_path: Path) -> None:
    model = tiny_bridge(tmp_path / "tiny")
    examples = written(model.tokenizer)
    scores = hc.attribute(model, examples)
    found = saved(gallery.by_token(model, scores, examples, 1))
    own = scores.token_figure(model, examples, 1)
    drawn = figures._tokens(found)
    for bars, other in zip(drawn.data, own.data, strict=True):
        assert list(bars.y) == pytest.approx(list(other.y), rel=1e-5)
    assert drawn.layout.title.subtitle.text == own.layout.title.subtitle.text
    assert set(strings(found)) <= {"harmful", "near", "far"}, "its role, and nothing that was written"


def test_agreement_and_reliability_are_drawn_from_their_files_as_by_the_objects() -> None:
    first = drawn_scores(2, n=8)
    noise = torch.Generator().manual_seed(0)
    blurred = [
        own + 0.1 * torch.randn(own.shape, generator=noise) for own in (first.per_example_heads, first.per_example_neurons)
    ]
    blurred[1][:, :, 5:] = torch.nan
    agreement = first.compare(hc.Attribution(*blurred), names=("first order", "exact"))
    value = saved(_script("benchmarks", "first_order").written(agreement))
    assert figures._agreement(value).to_json() == agreement.figure().to_json()
    reliability = first.split_half()
    again = figures._reliability(saved(_script("benchmarks", "sampled_or_greedy").written(reliability)))
    assert again.figure().to_json() == reliability.figure().to_json()


@pytest.mark.parametrize("name", ["places", "first-order", "reliability"])
def test_no_file_holds_a_word_of_a_prompt_or_response(name: str) -> None:
    value = json.loads((MODEL / f"{name}.json").read_text("utf-8"))
    prompts = list(hc.load_prompts())
    texts = {part for prompt in prompts for part in (prompt.request, prompt.prefill)}
    found = set(strings(value)) - {value["command"]}
    assert all(len(text) < 40 and text not in texts for text in found), found
    assert not {"request", "prefill", "response", "text"} & set(value)
