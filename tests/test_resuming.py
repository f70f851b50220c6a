"""A run of the main job that is stopped, wherever that is, goes on where it was and ends as an unbroken one does."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from triples import RICH, SPLITS, TEST

import harmcircuits as hc
from harmcircuits import store
from harmcircuits.experiments import battery, manifest, nulls
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.result import Dissociation
from harmcircuits.models.protocol import model_key

ASKED: dict[str, Any] = {**SPLITS, "settings": RICH, "name": "tiny", "reproduce": "this test"}
EVERY = 4
"""Parts that are kept between two stops."""


class Stopped(BaseException):
    """As an interrupt, and no error that anything here may catch."""


def files(folder: Path) -> dict[str, bytes]:
    """What a run saved, but for the page, the seconds that it took and the parts that it kept; of tensors their values, since
    the order in a safetensors header is not fixed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "journal" not in path.parts and path.name != "report.html":
            tensors = path.suffix == ".safetensors"
            own = repr([(n, t.tolist()) for n, t in sorted(load_file(path).items())]).encode() if tensors else path.read_bytes()
            found[path.relative_to(folder).as_posix()] = own
    report = store.read_json(folder / "report.json")
    del report["seconds"]
    return found | {"report.json": repr(report).encode()}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("resuming-cache")
        patch.setenv(store.CACHE_VARIABLE, str(place))
        yield place


@pytest.fixture(autouse=True)
def shared_cache(cache: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(store.CACHE_VARIABLE, str(cache))


@pytest.fixture(scope="module")
def unbroken(tiny: Any, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dissociation, Path]:
    """A run that keeps nothing, and its saved folder."""
    folder = tmp_path_factory.mktemp("unbroken")
    result = dissociate(tiny, None, TEST, **ASKED)
    result.save(folder)
    return result, folder


@pytest.fixture(scope="module")
def broken(tiny: Any, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dissociation, Path, int]:
    """The same, stopped after every few parts; and how often."""
    folder, stops = tmp_path_factory.mktemp("broken"), 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            count_down(patch, EVERY)
            try:
                result = dissociate(tiny, None, TEST, folder=folder, **ASKED)
                break
            except Stopped:
                stops += 1
    result.save(folder)
    return result, folder, stops


def count_down(patch: pytest.MonkeyPatch, parts: int) -> None:
    """Stops the run when so many parts were written."""
    left, write = [parts], store.write_json

    def then_stop(*given: Any, **options: Any) -> None:
        write(*given, **options)
        left[0] -= 1
        if not left[0]:
            raise Stopped

    patch.setattr("harmcircuits.store.journal.write_json", then_stop)


def test_a_run_that_was_stopped_many_times_ends_as_an_unbroken_one(unbroken: Any, broken: Any) -> None:
    (result, folder), (other, there, stops) = unbroken, broken
    assert stops >= 5
    assert files(there) == files(folder)
    pd.testing.assert_frame_equal(other.outcomes, result.outcomes, check_exact=True)
    pd.testing.assert_frame_equal(other.responses, result.responses, check_exact=True)


def test_what_is_finished_is_not_measured_again(tiny: Any, broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder, _ = broken
    for module, verb in ((battery, "teacher_forced"), (battery, "write_all"), (nulls, "teacher_forced")):
        monkeypatch.setattr(module, verb, lambda *_, **__: pytest.fail("it was measured again"))
    dissociate(tiny, None, TEST, folder=folder, **ASKED)


def test_another_question_finds_nothing_there(tiny: Any, broken: Any, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, folder, _ = broken
    before = {path.name for path in (folder / "journal").iterdir()}
    asked = dict(ASKED) | {"settings": RICH.__class__(**{**RICH.as_dict(), "seed": 1})}
    with caplog.at_level("INFO"):
        dissociate(tiny, None, TEST, folder=folder, **asked)
    after = {path.name for path in (folder / "journal").iterdir()}
    kinds = lambda names: sorted({name.rpartition("-")[0] for name in names})
    assert before < after and kinds(after - before) == kinds(before)
    assert "a run of its own beside 1 other" in caplog.text


def test_no_text_that_a_model_wrote_lies_in_the_folder_of_a_run(broken: Any, cache: Path) -> None:
    result, folder, _ = broken
    texts = [text for text in result.responses["response"] if len(text) > 8]
    kept = b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert texts and not [text for text in texts if text.encode() in kept]
    assert list((cache / "written").iterdir()), "it lies in the cache"


def test_tensors_that_were_changed_by_hand_are_made_anew(tiny: Any, unbroken: Any, broken: Any, caplog: Any) -> None:
    result, folder, _ = broken
    parts = sorted((folder / "journal").glob("*.safetensors"))
    assert {path.name.rpartition("-")[0] for path in parts} >= {"scores", "recognition", "mask"}
    for part in parts:
        whole = bytearray(part.read_bytes())
        whole[-2] ^= 0x40  # of the last number, the exponent
        part.write_bytes(whole)
    again = dissociate(tiny, None, TEST, folder=folder, **ASKED)
    told = [part for part in parts if f"{part} is not used and made anew: {part} was changed" in caplog.text]
    assert len(told) == len({path.name.rpartition("-")[0] for path in parts}), "of another test's run, nothing is read"
    pd.testing.assert_frame_equal(again.outcomes, unbroken[0].outcomes, check_exact=True)
    assert torch.equal(again.scores.harmful.heads, result.scores.harmful.heads)


def test_the_manifest_says_what_was_asked_of_which_weights_by_which_versions(tiny: Any, broken: Any) -> None:
    _, folder, _ = broken
    runs = [store.read_json(path) for path in (folder / "journal").glob("run-*.json")]
    (found,) = [run["manifest"] for run in runs if run["manifest"]["seed"] == RICH.seed]
    assert found["settings"] == RICH.as_dict()
    assert found["prompts"] == {"test": TEST.digest, **{split: SPLITS[split].digest for split in ("train", "development")}}
    assert found["model"] == {
        "key": model_key(tiny), "class": type(tiny).__name__, "dtype": "float32", "device": "cpu"
    }  # fmt: skip
    assert found["circuits"] == {} and found["crossed"] is False
    assert {name: version(name) for name in manifest.PACKAGES} == {name: found["versions"][name] for name in manifest.PACKAGES}
    assert found["versions"]["harmcircuits"] == hc.__version__ and len(found["versions"]["python"].split(".")) == 3
