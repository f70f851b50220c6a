"""The journal of a run: what is kept is what was made, for that very question, or it is made anew and said so."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny import tiny_bridge
from torch import Tensor
from triples import RUN, TEST, TRAIN

import harmcircuits as hc
from harmcircuits import store
from harmcircuits.circuits import Circuit
from harmcircuits.experiment.cache import place_to_keep
from harmcircuits.models.model_key import model_key
from harmcircuits.store.journal import Journal
from harmcircuits.store.tensors import read_tensors, save_tensors

KIND: dict[str, Any] = {"format": "kind 1", "what": "kind"}


def load(path: Path) -> float:
    return float(read_tensors(path, **KIND)[0]["value"])


def save(value: float, path: Path) -> None:
    save_tensors(path, {"value": torch.tensor(value)}, format="kind 1", about=None)


def table(journal: Journal, key: int, value: float) -> float:
    return float(journal.frame("part", key, lambda: pd.DataFrame({"value": [value]}))["value"][0])


def tensor(journal: Journal, key: int, value: float) -> float:
    return journal.file("part", key, lambda: value, load=load, save=save)


@pytest.mark.parametrize("ask", [table, tensor])
def test_a_part_in_the_place_of_another_is_not_used(ask: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(tmp_path)
    assert [ask(journal, key, float(key)) for key in (0, 1)] == [0, 1] == [ask(journal, key, 9.0) for key in (0, 1)]
    ending = "safetensors" if ask is tensor else "json"
    first, second = sorted(tmp_path.glob(f"*.{ending}"))[:2]
    kept = {path: path.read_bytes() for path in (first, second)}
    first.write_bytes(kept[second])
    second.write_bytes(kept[first])
    if ask is tensor:  # with the files beside them, too
        one, other = (path.with_name(f"{path.name}.json") for path in (first, second))
        texts = one.read_bytes(), other.read_bytes()
        other.write_bytes(texts[0]), one.write_bytes(texts[1])
    assert [ask(journal, key, 10.0 + key) for key in (0, 1)] == [10, 11]
    assert all(f"{path} is not used and made anew" in caplog.text for path in (first, second))
    assert "or is another part" in caplog.text


@pytest.mark.parametrize(
    "damage", ["", "{}", '{"format"', "[" * 10_000, '{"format": "harmcircuits journal 3", "manifest": {"seed": 1}}']
)
def test_a_manifest_that_was_damaged_is_named_and_written_anew(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal, asked = Journal(tmp_path), {"seed": 0, "fractions": [0.1, 1.0]}
    key = journal.begin(asked)
    (path,) = tmp_path.iterdir()
    before = path.read_text()
    with caplog.at_level(logging.INFO):
        assert journal.begin(asked) == key and "going on with the run" in caplog.text
        caplog.clear()
        path.write_text(damage)
        assert journal.begin(asked) == key and path.read_text() == before
    assert f"{path} does not say what this run is asked" in caplog.text and "beside" not in caplog.text


# What the keys know


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return tiny_bridge(tmp_path / "model")


def test_the_key_knows_the_words_and_the_template_and_not_the_padding(model: Any) -> None:
    key = model_key(model)
    model.tokenizer(["a long text", "text"], padding=True, truncation=True, max_length=2)
    assert model_key(model) == key
    template = model.tokenizer.chat_template
    model.tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}!{% endfor %}"
    assert model_key(model) != key
    model.tokenizer.chat_template = template
    assert model_key(model) == key
    model.tokenizer.add_tokens(["neighbour"])
    assert model_key(model) != key


def test_another_template_is_another_run(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"settings": RUN, "folder": tmp_path / "run", "train": TRAIN}
    monkeypatch.setenv(store.CACHE_VARIABLE, str(tmp_path / "cache"))
    hc.dissociate(model, Circuit(heads=[(0, 1)]), TEST, **asked)
    model.tokenizer.chat_template = model.tokenizer.chat_template.replace("user", "person")
    found = hc.dissociate(model, Circuit(heads=[(0, 1)]), TEST, **asked)
    fresh = hc.dissociate(model, Circuit(heads=[(0, 1)]), TEST, **(asked | {"folder": None}))
    pd.testing.assert_frame_equal(found.outcomes.frame, fresh.outcomes.frame, check_exact=True)


def test_under_hooks_nothing_is_kept(model: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def halved(activation: Tensor, hook: Any) -> Tensor:
        return activation / 2

    assert place_to_keep(model, tmp_path) == tmp_path and place_to_keep(model, None) is None and not caplog.text
    with model.hooks([("blocks.0.hook_mlp_out", halved)]):
        assert place_to_keep(model, tmp_path) is None and place_to_keep(model, None) is None
    assert caplog.text.count("hooks are set on the model: nothing of this run is read from") == 1
