"""The page of compared readings: laid out as a claim's, with the numbers that the JSON has."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import in_browser, load
from parsed import Page
from test_claim_page import HOSTILE

from harmcircuits.cli.written import write_claim
from harmcircuits.experiments.reading_results import COLUMNS as SCORED
from harmcircuits.experiments.reading_results import Reading, Readings
from harmcircuits.statistics import Estimate

NO_FAR = Estimate.missing("no far twins")
SECTIONS = ["Answer", "Figures", "Numbers", "Limits", "Method and settings", "Reproduce"]


def readings(name: str = "Label: harmful/safe", **changed: Any) -> Readings:
    """A reading beyond chance with a control, one that is not, and one that is missing."""
    own = {"kind": "many-shot", "n_shots": 8, "auroc_far": NO_FAR}
    rows = (
        Reading(name=name, auroc=Estimate(0.71875, 0.625, 0.8125, 24), **own),
        Reading(name=name, control="shuffled labels", auroc=Estimate(0.53125, 0.40625, 0.65625, 24), **own),
        Reading(name="after layer 3", kind="probe", auroc=Estimate(0.59375, 0.46875, 0.6875, 24), auroc_far=NO_FAR),
        Reading(name="gone", kind="in place", auroc=Estimate.missing("no labels"), auroc_far=NO_FAR),
    )
    settings = {"model": "tiny", "prompts": "built-in", "seed": 7, "reproduce": "harmcircuits recognition --out 'my folder'"}
    whole = {"readings": rows, "outcomes": pd.DataFrame(columns=SCORED), "against": "near", "settings": settings}
    return Readings(**whole | {"remarks": ("Of few triples.",)} | changed)


@pytest.mark.parametrize("name", ["readings"])
def test_it_has_the_sections_of_a_claims_page_and_no_word_of_yes_or_no(name: str) -> None:
    own = Page(readings().page())
    assert [found for path, found in own.texts if path[-1:] == ("h2",)] == SECTIONS
    words = own.words(inside="main")
    assert (
        not [attrs for attrs in own.tags("span") if "badge" in str(attrs.get("class"))] and "the claim holds here" not in words
    )
    assert "tiny" in words and "my folder" in words and f"All tables, with every digit: {name}.json." in words


def test_readings_say_how_many_are_beyond_chance_and_show_each() -> None:
    words = Page(readings().page()).words(inside="main")
    for told in ("1 of 2 readings tell harmful requests from their near twins better than chance",
                 "The highest AUROC is that of “Label: harmful/safe” (many-shot): 0.719 [0.625, 0.812] (n=24).",
                 "best many-shot: Label: harmful/safe0.719[0.625, 0.812]24", "best probe: after layer 30.594[0.469, 0.688]24",
                 "Of few triples.", "partly the luckiest", "seed7"):  # fmt: skip
        assert told in words, told
    assert "No reading could be taken." in Page(readings(readings=()).page()).words()
    loose = Page(readings(against="far").page()).words()
    assert "from other benign ones better than chance" in loose


@pytest.mark.parametrize("name", ["readings"])
def test_its_numbers_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    line = write_claim(readings(), tmp_path)
    page, numbers = tmp_path / f"{name}.html", json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
    assert line.startswith(f"Page: {page}    Numbers: {tmp_path / name}.json    Figures alone: {tmp_path / name}_*.html")
    own = Page(page.read_text("utf-8"))
    alone = {one.name for one in tmp_path.glob("*_*.html")}
    assert len(alone) == len([attrs for attrs in own.tags("div") if attrs.get("data-figure")]) == len(readings().drawn())
    cells = {text for path, text in own.texts if "td" in path}
    told = [f"{one['auroc']['value']:.4g}" for one in numbers["readings"] if one["auroc"]["value"] is not None]
    assert len(told) >= 3 and set(told) <= cells
    assert numbers["command"] in own.words(inside="main")


@pytest.mark.parametrize("made", [readings])
def test_nothing_becomes_markup_or_a_request(made: Any) -> None:
    text = made(HOSTILE).page()
    own = Page(text)
    assert own.tags("img") == own.tags("b") == own.tags("link") == own.tags("iframe") == []
    assert own.words().count("onerror=alert(1)") >= 1
    assert [attrs for attrs in own.tags("script") if "src" in attrs] == []
    policy = str(own.tags("meta")[1]["content"])
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "http" not in policy


@pytest.mark.parametrize("made", [pytest.param(one, marks=in_browser) for one in (readings,)])
def test_it_opens_without_a_word_of_the_console(made: Any, tmp_path: Path) -> None:
    found = made(HOSTILE)
    dom, log = load(found.page(), tmp_path, done=lambda dom: dom.count('class="main-svg"') >= len(found.drawn()))
    assert dom.count('class="main-svg"') >= len(found.drawn()) and not re.findall(r"CONSOLE", log)
