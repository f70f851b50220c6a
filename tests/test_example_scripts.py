"""The example scripts run from beginning to end, write under out/ alone, and show nothing of what a model wrote.

They run with a tiny random model in the place of one that would be loaded by an alias; responses are shorter, and `dissociate`
gets few and short triples, but for planted models.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import torch
from folders import names
from guided import load_tiny_models, make_folders
from pages import DOCS, ROOT, text_of
from triples import DEVELOPMENT, RUN, TEST, TRAIN

import harmcircuits as hc
from harmcircuits.store import CACHE_VARIABLE

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
TOLD = {
    "03_dissociation": r"planted: dissociated; answer: dissociated\n(.*\n)*planted: not selective; answer: not selective",
    "02_circuit": "read again it is equal: True",
    "04_weights": "read again it is equal: True",
    "05_export_reload": "greedy responses of 24 tokens: 12 of 12 equal",
    "06_known_answer": "found what was planted: True",
}
"""What must come out, whatever the model."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large enough for 8 heads and 138 neurons to be left after protection."""
    place = tmp_path_factory.mktemp("scripts")
    return make_folders(place, n_layers=2, n_heads=48, n_kv=8, d_model=96, d_mlp=512) / "base"


@dataclass(frozen=True)
class Ran:
    """What a script left, and the responses that it was given."""

    place: Path
    printed: str
    responses: list[str] = field(repr=False)

    def pieces(self) -> set[str]:
        """Of the responses, long and varied enough to be nobody else's."""
        found = {text[at : at + 12] for text in self.responses for at in range(0, len(text) - 11, 6)}
        return {piece for piece in found if len(set(piece)) > 5}

    def holding(self) -> list[str]:
        """The files that hold a piece of a response, and "printed" where the output does."""
        pieces = self.pieces()
        files = [path for path in (self.place / "cwd").rglob("*") if path.is_file()]
        texts = {path.name: path.read_bytes().decode(errors="replace") for path in files} | {"printed": self.printed}
        return [name for name, text in texts.items() if any(piece in text for piece in pieces)]


def run(script: Path, place: Path, base: Path, patch: pytest.MonkeyPatch) -> Ran:
    """In a folder of its own, with a place for temporary files and a cache beside it."""
    for name in ("cwd", "temporary", "cache"):
        (place / name).mkdir(exist_ok=True)
    load_tiny_models(patch, base)
    patch.chdir(place / "cwd")
    patch.setattr(tempfile, "tempdir", str(place / "temporary"))
    patch.setenv(CACHE_VARIABLE, str(place / "cache"))
    responses: list[str] = []
    dissociate, few = hc.dissociate, {"train": TRAIN, "development": DEVELOPMENT, "settings": RUN}

    def dissociate_few(model: Any, circuit: Any, test: Any, **given: Any) -> hc.Dissociation:
        """Planted models, whose splits are given, as they are."""
        if "train" in given:
            return dissociate(model, circuit, test, **given)
        return dissociate(model, circuit, TEST, **given | few)

    patch.setattr(hc, "dissociate", dissociate_few)

    def kept(verb: Any, **fewer: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            examples = verb(*arguments, **options | fewer)
            responses.extend(one.response for one in examples)
            return examples

        return call

    patch.setattr(hc, "elicit", kept(hc.elicit, max_new_tokens=12))
    patch.setattr(hc, "generate", kept(hc.generate))
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as progress:
        run_path(str(script), run_name="__main__")
    return Ran(place, out.getvalue() + progress.getvalue(), responses)


@pytest.fixture(scope="module", params=SCRIPTS, ids=lambda script: script.stem)
def script(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture(scope="module")
def ran(script: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The script has run once, which left the random numbers and the folder of examples as they were."""
    seed, before = torch.initial_seed(), names(script.parent)
    with pytest.MonkeyPatch.context() as patch:
        yield run(script, tmp_path_factory.mktemp(script.stem), base, patch)
    assert torch.initial_seed() == seed and names(script.parent) - {"__pycache__"} == before - {"__pycache__"}


def test_it_writes_under_out_alone(ran: Ran, script: Path) -> None:
    assert names(ran.place / "cwd") <= {"out"}
    assert not [name for name in names(ran.place / "temporary") if "wandb" not in name]  # which trl imports, where it is there
    own = f"example-{script.stem[:2]}"
    assert not (ran.place / "cwd" / "out").exists() or names(ran.place / "cwd" / "out") == {own}


def test_it_tells_what_must_come_out(ran: Ran, script: Path) -> None:
    assert re.search(TOLD.get(script.stem, r"\d\.\d"), ran.printed)


def test_it_shows_no_word_of_a_response(ran: Ran, script: Path) -> None:
    assert ran.pieces() or "planted" in text_of(script), "nothing was written, so that nothing could be shown"
    assert ran.holding() == []


def test_scripts_are_numbered_and_listed_in_the_order_in_which_one_reads_them() -> None:
    assert [script.name[:3] for script in SCRIPTS] == [f"{at:02}_" for at in range(1, len(SCRIPTS) + 1)]
    rows = re.findall(r"^\| `examples/(\w+\.py)`", text_of(DOCS / "quickstart.md"), re.M)
    assert rows == [script.name for script in SCRIPTS]
    for other in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        assert all((ROOT / named).is_file() for named in re.findall(r"(?<![/\w])examples/\w+\.py", text_of(other))), other
