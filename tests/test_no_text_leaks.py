"""What a model wrote reaches no log, traceback, warning, report, table, repr or terminal, unless somebody asks for it.

Every text that a tokenizer decodes here begins with a word that nothing else has; then all that was written is searched.
"""

import logging
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from shell import call, dissociate, small, told, write
from tiny import tiny_model_folder
from transformers import PreTrainedTokenizerFast
from triples import DEVELOPMENT, OWN, RUN, TEST, TRAIN
from typer.testing import Result

import harmcircuits as hc
from harmcircuits import cli, store
from harmcircuits.data import Example, encode
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.measure import TEXT_COLUMNS, Outcomes, judged

CANARY = "zyzzyva"
DECODE = PreTrainedTokenizerFast.decode


def marked(self: Any, ids: Any, **options: Any) -> str:
    return f"{CANARY} {DECODE(self, ids, **options)}"


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Responses hold the word, and all levels of the log are kept."""
    monkeypatch.setattr(PreTrainedTokenizerFast, "decode", marked)
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "harmcircuits")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield
    assert CANARY not in caplog.text
    assert not any(CANARY in str(warning.message) for warning in seen)


def holding(folder: Path) -> list[str]:
    """The files in a folder that hold the word."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path.relative_to(folder)) for path in files if CANARY.encode() in path.read_bytes()]


class TestShell:
    @pytest.fixture(scope="class")
    def place(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        place = tmp_path_factory.mktemp("shell")
        tiny_model_folder(place / "model")
        write(place / "prompts.csv")
        return place

    @pytest.fixture(autouse=True)
    def one_cache(self, place: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(store.CACHE_VARIABLE, str(place / "cache"))
        small(monkeypatch)

    def run(self, place: Path, *flags: str) -> Result:
        return dissociate(*flags, model=place / "model", prompts=place / "prompts.csv", out=place / "out", device="cpu")

    def test_every_verb_of_a_run(self, place: Path) -> None:
        results = [
            self.run(place),
            call("report", place / "out"),
        ]
        assert [result.exit_code for result in results] == [0] * len(results), results[0].output
        assert not any(CANARY in result.output for result in results)
        assert holding(place) == [], "neither results nor the cache, which keeps token ids"

    def test_an_error_of_ours_and_a_bug(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*arguments: Any, **options: Any) -> None:
            response = hc.generate(arguments[0], TEST.prompts[:1], max_new_tokens=2, seed=0)
            raise RuntimeError(f"{len(response)} responses, and a bug")

        with monkeypatch.context() as patch:
            patch.setattr("harmcircuits.readings.compliance.generate", broken)
            patch.setenv(store.CACHE_VARIABLE, str(place / "other cache"))  # where nothing is written yet
            files = {"model": place / "model", "prompts": place / "prompts.csv", "out": place / "bug"}
            result = dissociate(**files, device="cpu")
        assert result.exit_code == 1 and isinstance(result.exception, RuntimeError)
        assert CANARY not in told_of(result.exception) and CANARY not in result.output
        assert not cli.app.pretty_exceptions_show_locals, "typer would print every response that a function holds"
        with monkeypatch.context() as patch:
            patch.setattr("harmcircuits.experiment.result.Dissociation.save", raises_store_error)
            told(self.run(place), "error: no space")


def raises_store_error(*arguments: Any, **options: Any) -> None:
    raise HarmcircuitsError("no space")


def told_of(error: BaseException) -> str:
    """All that Python prints of an error, its causes included."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return hc.load_model(tiny_model_folder(tmp_path_factory.mktemp("model") / "tiny"), device="cpu")


def example(**changed: Any) -> Example:
    return Example(**{"request": "Bread?", "response": f"{CANARY} flour", "category": "bread"} | changed)


def broken_hook(model: Any, call: Callable[[], object]) -> None:
    with model.hooks(fwd_hooks=[("blocks.0.mlp.hook_post", lambda activation, hook: activation * float("nan"))]):
        call()


class Quoting:
    """A judge whose error quotes what it reads."""

    name, measures = "quoting", "harm"

    def read(self, requests: Any, responses: Any) -> list[bool | None]:
        raise ValueError(f"no verdict in {responses[0]}")


ERRORS: dict[str, Callable[[Any], object]] = {
    "no numbers": lambda model: broken_hook(model, lambda: hc.loss(model, [example()])),
    "no scores": lambda model: broken_hook(model, lambda: hc.attribute(model, [example()])),
    "too long": lambda model: hc.loss(model, [example(response=CANARY * 400)]),
    "half a pair": lambda model: hc.loss(model, [example(response=f"{CANARY}\ud800")]),
    "a metric that fails": lambda model: hc.attribute(model, [example()], metric=lambda logits, batch: logits["x"]),
    "texts": lambda model: hc.attribute(model, f"{CANARY} flour"),  # type: ignore[arg-type]
    "examples to elicit": lambda model: hc.elicit(model, [example()], max_new_tokens=0),  # type: ignore[list-item]
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_do_not_quote(model: Any, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception) as error:
        ERRORS[case](model)
    assert CANARY not in told_of(error.value)
    assert CANARY not in "".join(capfd.readouterr())


def test_a_judge_that_quotes_is_not_quoted(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    ids = " ".join(map(str, encode(model, "Mix flour and water.")))
    texts = pd.DataFrame([("circuit", "compliance", item, ids) for item in range(2)], columns=TEXT_COLUMNS)
    found = judged(model, TEST.prompts[:2], Outcomes(pd.DataFrame(), texts), Quoting())  # type: ignore[arg-type]
    assert found.frame.empty
    assert "ValueError" in caplog.text and "in read" in caplog.text, "where it arose is told"
    assert CANARY not in caplog.text


class TestReprs:
    def test_of_everything_that_holds_text(self, model: Any, tmp_path: Path) -> None:
        written = hc.generate(model, TEST.prompts[:3], max_new_tokens=3, seed=0)
        assert all(one.response.startswith(CANARY) for one in written)
        holders = [
            written,
            tuple(written),
            hc.attribute(model, written),
            hc.loss(model, written),
        ]
        for one in holders:
            shown = f"{one!r} {one} {getattr(one, '_repr_html_', str)()}"
            assert CANARY not in shown, type(one).__name__

    def test_of_a_run(self, model: Any, tmp_path: Path) -> None:
        found = hc.dissociate(model, OWN, TEST, train=TRAIN, development=DEVELOPMENT, settings=RUN)
        ids = found.outcomes.texts["response_ids"]
        assert ids.str.len().gt(0).any(), "they are there, as token ids, for who asks"
        shown = f"{found!r} {found} {found._repr_html_()} {found.table().to_string()}"
        assert CANARY not in shown and CANARY not in str(found.report) and CANARY not in found.page()
        for name, figure in found.figures().items():
            assert CANARY not in figure.to_json(), name
        found.save(tmp_path / "run")
        assert holding(tmp_path) == []
