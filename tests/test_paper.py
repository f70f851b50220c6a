"""All claims on one model: what fails costs its own row, what is finished is kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_claims import BROKEN, ENTRIES, Shared, Small
from triples import SETTINGS, make_triples

from harmcircuits import store
from harmcircuits.claims.earlier import ClaimError
from harmcircuits.claims.paper import Paper, paper, registry
from harmcircuits.experiments import battery

PROMPTS = make_triples(20)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "CLAIMS", dict(ENTRIES))


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every condition that is read, in order."""
    from harmcircuits.claims import reading

    seen: list[str] = []

    def recorded(model: Any, asked: Any, conditions: Any, **options: Any) -> battery.Outcomes:
        seen.extend(conditions)
        return battery.read_conditions(model, asked, conditions, **options)

    monkeypatch.setattr(reading, "read_conditions", recorded)
    return seen


def run(model: Any, folder: Path | None = None, **options: Any) -> Paper:
    return paper(model, PROMPTS, **{"settings": SETTINGS, "folder": folder, "reproduce": "harmcircuits paper"} | options)


def numbers(found: Paper) -> dict[str, Any]:
    own = {name: claim.document() for name, claim in found.claims.items()}
    return found.document() | own


def test_every_claim_has_its_row_and_one_that_fails_costs_only_its_own(tiny: Any, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    found = run(tiny, tmp_path)
    table = found.table()
    assert list(table["claim"]) == ["small", "stopped", "shared"]
    assert list(table["found"]) == ["undecided", "cannot be measured", "undecided"]
    assert list(table["asks"]) == [entry.kind.ASKS for entry in ENTRIES.values()]
    assert table["sentence"][1] == "there is nothing to stop: give it more" == found.failed["stopped"]
    assert table["evidence"][0] == f"rise of L: {found.claims['small'].values['rise of L']}"
    assert table["evidence"][1] == ""
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())


def test_conditions_are_read_once(tiny: Any, tmp_path: Path, readings: list[str]) -> None:
    found = run(tiny, tmp_path)
    assert len(readings) == len(set(readings)) == 3, "of two claims that share them"
    again = run(tiny, tmp_path)
    assert len(readings) == 3, "nothing is read again"
    assert numbers(again) == numbers(found)


@pytest.mark.parametrize("after", [1])
def test_a_run_that_was_stopped_goes_on_and_ends_as_an_undisturbed_one(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readings: list[str], after: int
) -> None:
    from harmcircuits.claims import reading

    undisturbed = numbers(run(tiny, tmp_path / "whole"))
    readings.clear()
    monkeypatch.setattr(reading, "AT_ONCE", 1)
    whole, calls = reading.read_conditions, [0]

    def interrupted(*asked: Any, **options: Any) -> battery.Outcomes:
        calls[0] += 1
        if calls[0] == after + 1:
            raise KeyboardInterrupt
        return whole(*asked, **options)

    monkeypatch.setattr(reading, "read_conditions", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, tmp_path / "o")
    assert len(readings) == after
    found = run(tiny, tmp_path / "o")
    assert len(readings) == len(set(readings)) == 3, "nothing twice"
    assert_same(numbers(found), undisturbed)


def assert_same(one: Any, other: Any) -> None:
    """Equal but for rounding: batches are of other sizes."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    elif isinstance(one, float):
        np.testing.assert_allclose(one, other, atol=2e-5)
    elif not (isinstance(one, str) and one.startswith("rise of L")):  # as a text, with its digits
        assert one == other


def test_a_finished_claim_is_on_the_disk_when_a_later_one_breaks(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.CLAIMS, "stopped", BROKEN)
    with pytest.raises(ValueError, match="a bug"):
        run(tiny, tmp_path)
    assert Small.load(tmp_path).found == "undecided"
    assert not (tmp_path / "paper.json").exists()


def test_what_is_saved(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "stopped.json").write_text("of an earlier run", "utf-8")
    found = run(tiny, tmp_path)
    page = found.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"journal", "small.json", "shared.json", "paper.json", "paper.html"}
    assert Shared.load(tmp_path).document() == found.claims["shared"].document()
    assert page == tmp_path / "paper.html" and page.read_text("utf-8").startswith("<!doctype html>")
    kept = store.read_json(tmp_path / "paper.json")
    assert kept == found.document()
    assert [row["file"] for row in kept["claims"]] == ["small.json", None, "shared.json"]
    assert [row["headline"] for row in kept["claims"]] == ["rise of L", None, "rise of L"]
    whole = store.read_json(tmp_path / "small.json")
    assert kept["claims"][0]["value"] == whole["values"]["rise of L"] and kept["claims"][1]["value"] is None


@pytest.mark.parametrize(("claims", "words"), [([], "name some of small"), (["smal"], "no claim 'smal': there are small")])
def test_claims_that_there_are_not(claims: list[str], words: str) -> None:
    with pytest.raises(ClaimError, match=words):
        paper(None, claims=claims)  # type: ignore[arg-type]  # before the model is looked at
