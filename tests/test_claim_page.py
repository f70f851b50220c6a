"""A claim's own page: all that is promised of it, nothing becomes markup, nothing is fetched; and who writes it."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake_claims import Small as Drawn
from parsed import Page
from shell import CLAIMS, call, small_claims, text, write
from test_claims_foundation import FRAME, Small, made
from tiny import tiny_model_folder
from triples import PROMPTS

from harmcircuits import cli, store
from harmcircuits.claims.alignment import Alignment
from harmcircuits.claims.claim import Claim
from harmcircuits.claims.compactness import Compactness
from harmcircuits.claims.distinct import Distinct
from harmcircuits.claims.generality import Generality
from harmcircuits.claims.misalignment import Misalignment
from harmcircuits.cli.written import as_file_name, write_claim
from harmcircuits.figures.style import FigureError
from harmcircuits.report import ReportError
from harmcircuits.report.claims import ON_TRIPLES, claim_page
from harmcircuits.statistics import Estimate

SAVED = Path(__file__).parents[1] / "docs" / "results" / "smollm2-135m-instruct"
KINDS: tuple[type[Claim], ...] = (Compactness, Generality, Distinct, Alignment, Misalignment)
HOSTILE = "</script><img src=https://x.invalid onerror=alert(1)><b>&amp;"
SHOWN = {"tables": {"first": FRAME.assign(heads=[1, 2, 3])}}


def page(**changed: Any) -> Page:
    return Page(Drawn(**vars(made(**SHOWN)) | changed).page())


def test_everything_that_is_promised_is_on_it() -> None:
    limits, settings = ("Of one model.", "Of few triples."), {"seed": 7, "recipe": {"q": 0.0003}}
    sentence, command = "It is small. Half is gone without 3 heads.", "harmcircuits small --out 'my folder'"
    own = page(found="yes", sentence=sentence, limits=limits, settings=settings, command=command)
    words = own.words(inside="main")
    for said in ("yes", "It is small.", "Half is gone without 3 heads.", *limits, ON_TRIPLES, "seed7", "recipe.q0.0003",
                 command, "rise0.333[0.100, 0.500]24", "not measured: no judge", "By heads.",
                 "All tables, with every digit: small.json.", "nametiny"):  # fmt: skip
        assert said in words, said
    assert Drawn.ASKS in own.words(inside="h1")
    sections = ["Answer", "Figures", "Numbers", "Limits", "Method and settings", "Reproduce"]
    assert [found for path, found in own.texts if path[-1:] == ("h2",)] == sections


def test_it_can_be_read_by_keyboard_and_by_ear() -> None:
    own = page()
    assert len(own.tags("h1")) == len(own.tags("main")) == len(own.tags("header")) == len(own.tags("nav")) == 1
    assert own.tags("html") == [{"lang": "en"}]
    ids = [attrs["id"] for _, attrs in own.elements if attrs.get("id")]
    assert len(ids) == len(set(ids))
    assert own.tags("a")[0] == {"class": "skip", "href": "#main"}, "the first stop of a keyboard leads past what is above"
    targets = {str(attrs["href"])[1:] for attrs in own.tags("a")}
    labels = {attrs["aria-labelledby"] for _, attrs in own.elements if attrs.get("aria-labelledby")}
    assert targets | labels <= set(ids)
    assert [(attrs["role"], attrs["aria-label"]) for attrs in own.tags("div") if attrs.get("data-figure")] == [
        ("img", "A line.")
    ]
    levels = [int(tag[1]) for tag, _ in own.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and all(later <= before + 1 for before, later in pairwise(levels))
    scopes = {attrs.get("scope") for attrs in own.tags("th")}
    assert scopes == {"row", "col"} and all(attrs.get("tabindex") == "0" for attrs in own.tags("pre"))


def test_nothing_becomes_markup_or_a_request() -> None:
    values = {HOSTILE: Estimate(0.5, 0.4, 0.6, 9), "b": Estimate.missing(HOSTILE)}
    tables = {"first": FRAME.assign(heads=[1, 2, 3], **{HOSTILE: HOSTILE})}
    own = page(sentence=HOSTILE, limits=(HOSTILE,), command=HOSTILE, values=values, tables=tables, model={"name": HOSTILE},
               settings={HOSTILE: {HOSTILE: [HOSTILE]}})  # fmt: skip
    assert own.tags("img") == own.tags("b") == own.tags("link") == own.tags("iframe") == []
    assert own.words().count("onerror=alert(1)") >= 9
    assert [attrs for attrs in own.tags("script") if "src" in attrs] == []
    assert all(str(attrs["href"]).startswith("#") for attrs in own.tags("a"))
    policy = str(own.tags("meta")[1]["content"])
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "http" not in policy


def test_without_figures_limits_and_command_it_says_so(caplog: pytest.LogCaptureFixture) -> None:
    bare = Page(made(limits=(), command="", settings={}).page())
    words = bare.words(inside="main")
    assert bare.scripts() == [] and "Figures" not in bare.words(inside="nav")
    for said in ("None were recorded.", "No settings were recorded.", "No command was recorded."):
        assert said in words
    with pytest.raises(ReportError, match="has no asks, sentence; is it what"):
        claim_page({"claim": "small", "found": "yes"}, figures={})


def test_a_figure_that_cannot_be_drawn_costs_no_page(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(self: Claim) -> dict[str, Any]:
        raise FigureError("no rows")

    monkeypatch.setattr(Small, "figures", broken)
    assert "It <may> be." in Page(made().page()).words() and "the figures of small are not on its page: no rows" in caplog.text


def test_it_is_saved_beside_the_numbers_and_never_tells_of_others(tmp_path: Path) -> None:
    path = made().save(tmp_path)
    assert path == tmp_path / "small.json" and (tmp_path / "small.html").read_text("utf-8") == made().page()
    made(found="no").save(tmp_path, page=False)
    assert {one.name for one in tmp_path.iterdir()} == {"small.json"}, "the page told of an earlier answer"
    (tmp_path / "small.html").mkdir()
    with pytest.raises(store.StoreError, match=r"small\.html: cannot be written"):
        made().save(tmp_path)
    assert Small.load(tmp_path).found == "undecided", "numbers come first"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.NAME)
def test_every_claim_says_how_it_is_decided_in_its_own_words(kind: type[Claim]) -> None:
    own = " ".join(kind.METHOD)
    assert ("ON_TRIPLES" in own) is False and (ON_TRIPLES in kind.METHOD) is (kind is not Misalignment)
    assert all(said in own for said in ("Yes: ", "No: ", "rule was fixed before")) and "{" not in own
    assert len({other.METHOD for other in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", [Misalignment, Alignment], ids=lambda kind: kind.NAME)
def test_a_measured_claim_has_its_page(kind: type[Claim]) -> None:
    claim = kind.load(SAVED)
    own = Page(claim.page())
    words = own.words(inside="main")
    spaced = lambda said: " ".join(said.split())
    assert all(spaced(said) in words for said in (*claim.limits, *claim.METHOD, claim.command))
    assert claim.found in words and len([a for a in own.tags("div") if a.get("data-figure")]) == len(claim.figures())


def test_files_of_figures_have_names_that_every_system_takes(tmp_path: Path) -> None:
    for name in ("heads and neurons: rises", "a/b", "x:y", "Δ, again"):
        assert re.fullmatch(r"[\wΔ-]+", as_file_name(name))
    line = write_claim(Drawn(**vars(made(**SHOWN))), tmp_path)
    assert {one.name for one in tmp_path.iterdir()} == {"small.json", "small.html", "small_rise.html"}
    assert line.startswith(f"Page: {tmp_path / 'small.html'}    Numbers: {tmp_path / 'small.json'}    Figures alone: ")
    assert write_claim(made(), tmp_path / "none").endswith("small.json"), "it has no figure"


@pytest.mark.parametrize("command", ["generality"])
def test_a_command_leaves_it_and_names_it_first(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_claims(monkeypatch)
    out = tmp_path / "out"
    tiny_model_folder(tmp_path / "model", n_layers=1)
    files = ["--model", tmp_path / "model", "--prompts", write(tmp_path / "p.csv"), "--out", out, "--device", "cpu"]
    result = call(command, *files, "--quick", *CLAIMS[command])
    assert result.exit_code == 0, result.output
    assert f"Page: {out / command}.html Numbers: {out / command}.json" in text(result)
    own, kept = (out / f"{command}.html").read_text("utf-8"), json.loads((out / f"{command}.json").read_text("utf-8"))
    words = Page(own).words(inside="main")
    assert all(" ".join(said.split()) in words for said in (kept["command"], *kept["limits"])) and kept["limits"]
    assert not any(prompt.request in own for prompt in PROMPTS), "no text of a request or response"


def test_every_claims_command_writes_it_by_the_same_call() -> None:
    """The others are run where each is tested, by their own commands."""
    for kind in KINDS:
        source = Path(str(cli.__file__)).with_name(f"{kind.NAME}.py").read_text("utf-8")
        assert "written = write_claim(found, out)" in source and "shared.draw(" not in source, kind.NAME
