"""The documentation keeps up with the code."""

import re
from pathlib import Path

import harmcircuits
from harmcircuits import figures
from harmcircuits.data import FORMATS

DOCS = Path(__file__).parents[1] / "docs"


def test_every_public_name_is_in_the_reference() -> None:
    """A room that is public as a whole is there by what is in it."""
    reference = (DOCS / "api.md").read_text("utf-8")
    explained = set(re.findall(r"^::: harmcircuits\.(\w+)$", reference, re.MULTILINE))
    assert set(harmcircuits.__all__) - {"__version__", *harmcircuits._ROOMS} == explained
    assert all(f"::: harmcircuits.{room}." in reference for room in harmcircuits._ROOMS)


def test_every_figure_is_in_the_reference() -> None:
    explained = re.findall(r"^::: harmcircuits\.figures\.(\w+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(explained) == sorted(figures.__all__)


def test_every_format_of_prompts_is_in_the_table() -> None:
    text = (DOCS / "prompts.md").read_text("utf-8")
    for name, (required, _) in FORMATS.items():
        row = re.search(rf"^\| {name} \| (.+) \|", text, re.MULTILINE)
        assert row is not None, name
        assert set(required) <= {*re.findall(r"`(\w+)`", row[1].split(" | ")[0])}, name
