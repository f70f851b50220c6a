"""A claim's own page: all that is promised of it, nothing becomes markup, nothing is fetched; and who writes it."""

from pathlib import Path
from typing import Any

import pytest
from fake_claims import Small as Drawn
from parsed import Page
from test_claims_foundation import FRAME, Small, made

from harmcircuits import store
from harmcircuits.claims.earlier import Claim
from harmcircuits.claims.misalignment import Misalignment
from harmcircuits.figures.style import FigureError
from harmcircuits.report.claims import ON_TRIPLES
from harmcircuits.statistics import Estimate

SAVED = Path(__file__).parents[1] / "docs" / "results" / "smollm2-135m-instruct"
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


@pytest.mark.parametrize("kind", [Misalignment], ids=lambda kind: kind.NAME)
def test_a_measured_claim_has_its_page(kind: type[Claim]) -> None:
    claim = kind.load(SAVED)
    own = Page(claim.page())
    words = own.words(inside="main")
    spaced = lambda said: " ".join(said.split())
    assert all(spaced(said) in words for said in (*claim.limits, *claim.METHOD, claim.command))
    assert claim.found in words and len([a for a in own.tags("div") if a.get("data-figure")]) == len(claim.figures())
