"""Scripts of notebooks run to the end, write under out/ alone, show nothing of what a model wrote; a notebook is its script.

They run with a tiny random model in the place of one that would be loaded by an alias; responses are shorter.
"""

import json
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
from comparisons import names
from guided import load_tiny_models, make_folders
from pages import DOCS, ROOT, text_of

import harmcircuits as hc
from harmcircuits.store import CACHE_VARIABLE

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
OUTPUT = {
    "quickstart": r"planted: dissociated; answer: dissociated\n(.*\n)*planted: not selective; answer: not selective",
    "weights_and_export": r"afterwards equal: True\n.*equal: True",
    "claims": "selected what was planted: True",
    "own_model_and_prompts": r"6 \(3 harmful",
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
    assert not names(ran.place / "temporary")
    assert not (ran.place / "cwd" / "out").exists() or names(ran.place / "cwd" / "out") == {script.stem}


def test_it_tells_what_must_come_out(ran: Ran, script: Path) -> None:
    assert re.search(OUTPUT.get(script.stem, r"\d\.\d"), ran.printed)


def test_it_shows_no_word_of_a_response(ran: Ran, script: Path) -> None:
    assert ran.pieces() or "planted" in text_of(script), "nothing was written, so that nothing could be shown"
    assert ran.holding() == []


def cells(text: str) -> list[tuple[str, str]]:
    """Kind and source of each cell of a script in the percent format."""
    parts = re.split(r"^# %%( \[markdown\])?\n", text, flags=re.M)[1:]
    kinds = ["markdown" if kind else "code" for kind in parts[::2]]
    sources = [
        re.sub(r"^# ?", "", part, flags=re.M) if kind else part for kind, part in zip(parts[::2], parts[1::2], strict=True)
    ]
    return [(kind, source.strip()) for kind, source in zip(kinds, sources, strict=True)]


def test_each_notebook_is_its_script_executed_without_an_error(script: Path) -> None:
    notebook = json.loads(text_of(script.with_suffix(".ipynb")))
    assert [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in notebook["cells"]] == cells(text_of(script))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)], "executed once, from the top"
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    assert script.with_suffix(".ipynb").stat().st_size < 2_000_000


def test_notebooks_are_listed_in_the_quickstart() -> None:
    rows = re.findall(r"^\| \[\w+\]\(examples/(\w+)\.ipynb\)", text_of(DOCS / "quickstart.md"), re.M)
    assert sorted(rows) == [script.stem for script in SCRIPTS]
    for other in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        assert all((ROOT / path).is_file() for path in re.findall(r"(?<![/\w])examples/\w+\.py", text_of(other))), other
