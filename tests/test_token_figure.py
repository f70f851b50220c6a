"""The figure of one response's tokens: the scores there, and no word of it unless asked for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_bridge
from written import PROMPTS, written

import harmcircuits as hc
from harmcircuits import figures
from harmcircuits.attribution.scores import Attribution, AttributionError
from harmcircuits.data import Example, example_rows, pieces
from harmcircuits.figures import style

DOG = 1
"""The example whose response tells of a dog in a city."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_bridge(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def examples(model: Any) -> list[Example]:
    return written(model.tokenizer)


@pytest.fixture(scope="module")
def scores(model: Any, examples: list[Example]) -> Attribution:
    return hc.attribute(model, examples)


@pytest.mark.parametrize("example", range(len(PROMPTS)))
def test_bars_are_the_scores_of_the_response_and_the_rest_is_told(
    model: Any, examples: list[Example], scores: Attribution, example: int
) -> None:
    drawn = scores.token_figure(model, examples, example)
    heads, neurons = (torch.tensor(bars.y) for bars in drawn.data)
    (row,) = example_rows(model, [examples[example]])
    response, own = scores.tokens[example][row.start :], len(examples[example].response_ids)
    assert len(heads) == own == len(response)
    torch.testing.assert_close(torch.stack([heads, neurons], 1), response.double())
    assert heads[-1] == neurons[-1] == 0, "nothing comes after the last"
    whole = scores.per_example_heads[example].sum() + scores.per_example_neurons[example].sum()
    before = float(drawn.layout.title.subtitle.text.split("response: ")[1].split(" ")[0])
    assert before + float(heads.sum() + neurons.sum()) == pytest.approx(float(whole), abs=1e-4)


def test_one_kind_is_that_kinds_column(model: Any, examples: list[Example], scores: Attribution) -> None:
    (row,) = example_rows(model, examples[:1])
    for at, kind in enumerate(("heads", "neurons")):
        (bars,) = scores.token_figure(model, examples, kind=kind).data
        assert bars.name == kind and bars.y.tolist() == pytest.approx(scores.tokens[0][row.start :, at].tolist())


def test_words_are_in_no_file_unless_asked_for(
    model: Any, examples: list[Example], scores: Attribution, tmp_path: Path
) -> None:
    """Its response: A dog lost his way in the city and found a house with a red door."""
    (row,) = example_rows(model, [examples[DOG]])
    words = [piece.strip() for piece in pieces(model, row.tokens[row.start : row.stop])]
    telling = {"dog", "lost", "city", "house", "door"} & set(words)
    assert len(telling) >= 3, "tokens that are words, and none of the figure's own"
    hidden, shown = (scores.token_figure(model, examples, DOG, words=asked) for asked in (False, True))
    assert list(shown.layout.yaxis.ticktext) == [style.text(word) for word in words]
    assert all(text.startswith(f"token {at}: heads ") for at, text in enumerate(hidden.data[0].hovertext, start=1))
    for ending in ("html", "json"):
        written_, told = (body(figures.save(one, tmp_path / f"a.{ending}")) for one in (hidden, shown))
        assert "response token" in written_ and not [word for word in telling if word in written_]
        assert all(word in told for word in telling)


def body(file: Path) -> str:
    """What a file holds beside plotly.js, which has words of its own."""
    return file.read_text("utf-8").split("<script>", 1)[0]


def test_an_example_without_ids_is_encoded(model: Any, examples: list[Example]) -> None:
    plain = Example(request="Say hello.", prefill="Hello", response=" to you and the dog")
    drawn = hc.attribute(model, [plain]).token_figure(model, [plain], words=True)
    assert drawn.layout.yaxis.ticktext[-1] == "dog"


def test_what_does_not_fit_is_refused(model: Any, examples: list[Example], scores: Attribution) -> None:
    refused = lambda message: pytest.raises(AttributionError, match=message)
    with refused("give the 4 examples that were scored, in their order, not 3 examples"):
        scores.token_figure(model, examples[:3])
    with refused("not one example"):
        scores.token_figure(model, examples[0])
    with refused("there is no example 4: there are 4, counted from 0"):
        scores.token_figure(model, examples, 4)
    with refused("there is no example -1"):
        scores.token_figure(model, examples, -1)
    with refused("kind 'layers' is unknown"):
        scores.token_figure(model, examples, kind="layers")
    with refused(r"example 0 has \d+ tokens, and \d+ were scored: these scores are of other texts"):
        scores.token_figure(model, examples[::-1])
    with refused("these scores have no tokens"):
        Attribution(scores.per_example_heads, scores.per_example_neurons).token_figure(model, examples)
