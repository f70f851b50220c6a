"""Pages of compared readings and of a circuit's tests: laid out as a claim's, with the numbers that the JSON has."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browser import in_browser, load
from parsed import Page
from test_claim_page import HOSTILE
from test_hypotheses_answers import ABOUT, said

from harmcircuits.cli.written import write_claim
from harmcircuits.experiments.hypotheses_components import COLUMNS
from harmcircuits.experiments.hypotheses_results import CircuitTests
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


def asked(name: str = "heads and neurons", **changed: Any) -> CircuitTests:
    """What made-up measurements come to: `said`."""
    grown = [
        {"kind": "random", "multiple": size, "measure": measure, "draws": 39, "value": 0.125, "low": 0.0625, "high": 0.25}
        for size in (1, 2)
        for measure in ("rise", "selectivity")
    ]
    more = {"model": "tiny", "circuit": name, "triples_of_few": 8, "reproduce": "harmcircuits circuit-tests 'my folder'"}
    found = CircuitTests(tuple(said().values()), pd.DataFrame(columns=COLUMNS), pd.DataFrame(grown), {**ABOUT, **more})
    return replace(found, **changed)


MADE = {"readings": readings, "circuit-tests": asked}


@pytest.mark.parametrize("name", MADE)
def test_it_has_the_sections_of_a_claims_page_and_no_word_of_yes_or_no(name: str) -> None:
    own = Page(MADE[name]().page())
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


def test_tests_give_an_answer_to_each_question() -> None:
    found = asked()
    words = Page(found.page()).words(inside="main")
    answers = [" ".join(one.answer.split()) for one in found.findings]
    assert len(answers) == 8 and all(answer in words for answer in answers)
    assert "Independence: harm writing remains." in words and "margin0.1" in words
    assert "minimality: effectnot measured: a mask" in words and "read 8 of the 24 triples" in words


@pytest.mark.parametrize("name", MADE)
def test_its_numbers_are_those_of_the_file(name: str, tmp_path: Path) -> None:
    line = write_claim(MADE[name](), tmp_path)
    page, numbers = tmp_path / f"{name}.html", json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
    assert line.startswith(f"Page: {page}    Numbers: {tmp_path / name}.json    Figures alone: {tmp_path / name}_*.html")
    own = Page(page.read_text("utf-8"))
    alone = {one.name for one in tmp_path.glob("*_*.html")}
    assert len(alone) == len([attrs for attrs in own.tags("div") if attrs.get("data-figure")]) == len(MADE[name]().drawn())
    cells = {text for path, text in own.texts if "td" in path}
    if name == "readings":
        told = [f"{one['auroc']['value']:.4g}" for one in numbers["readings"] if one["auroc"]["value"] is not None]
    else:
        own_values = [one["estimate"]["value"] or 0 for one in numbers["findings"]]
        told = [f"{value:.3f}" for value in own_values if abs(value) > 0.001]  # what is missing or smaller is told otherwise
    assert len(told) >= 3 and set(told) <= cells
    assert numbers["command"] in own.words(inside="main")


@pytest.mark.parametrize("made", [readings, asked])
def test_nothing_becomes_markup_or_a_request(made: Any) -> None:
    text = made(HOSTILE).page()
    own = Page(text)
    assert own.tags("img") == own.tags("b") == own.tags("link") == own.tags("iframe") == []
    assert own.words().count("onerror=alert(1)") >= 1
    assert [attrs for attrs in own.tags("script") if "src" in attrs] == []
    policy = str(own.tags("meta")[1]["content"])
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "http" not in policy


@pytest.mark.parametrize("made", [pytest.param(one, marks=in_browser) for one in (readings, asked)])
def test_it_opens_without_a_word_of_the_console(made: Any, tmp_path: Path) -> None:
    found = made(HOSTILE)
    dom, log = load(found.page(), tmp_path, done=lambda dom: dom.count('class="main-svg"') >= len(found.drawn()))
    assert dom.count('class="main-svg"') >= len(found.drawn()) and not re.findall(r"CONSOLE", log)
