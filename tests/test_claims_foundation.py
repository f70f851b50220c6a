"""What every claim stands on: what comes back is what was kept, files say what is wrong, and names tell conditions apart."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from triples import OWN, make_mask

from harmcircuits import store
from harmcircuits.ablation.ablate import Ablation
from harmcircuits.circuits import Circuit, WeightMask
from harmcircuits.claims.earlier import Claim, ClaimError
from harmcircuits.experiments.names import name_of
from harmcircuits.statistics import Estimate
from harmcircuits.store.frames import as_frame, as_plain
from harmcircuits.store.journal import Journal

FRAME = pd.DataFrame(
    {
        "rule": ["a", "b", "c"],
        "rise": [0.1, 1 / 3, float("nan")],
        "n": [1, 2, 2**40],
        "single": np.array([0.1, 0.2, 0.3], dtype=np.float32),
        "kept": [True, False, True],
    }
)
HEAD, OTHER = Circuit(heads=[(0, 1)]), Circuit(neurons=[(1, 3)])


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Small(Claim):
    NAME: ClassVar[str] = "small"
    ASKS: ClassVar[str] = "Is it small?"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Another(Small):
    NAME: ClassVar[str] = "another"


def made(**changed: Any) -> Small:
    values = {"rise": Estimate(1 / 3, 0.1, 0.5, 24), "judged": Estimate.missing("no judge")}
    own: dict[str, Any] = {"found": "undecided", "sentence": "It <may> be.", "values": values, "model": {"name": "tiny"}}
    own |= {"tables": {"first": FRAME, "none": FRAME.iloc[:0]}, "settings": {"seed": 0}, "command": "x", "limits": ("one",)}
    return Small(**own | changed)


# claims


def test_a_claim_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    claim = made()
    path = claim.save(tmp_path)
    assert path == tmp_path / "small.json"
    for loaded in (Small.load(path), Small.load(tmp_path)):
        assert (loaded.found, loaded.sentence, loaded.values) == (claim.found, claim.sentence, claim.values)
        assert (loaded.model, loaded.settings, loaded.command, loaded.limits) == ({"name": "tiny"}, {"seed": 0}, "x", ("one",))
        assert list(loaded.tables) == ["first", "none"]
        for name, frame in claim.tables.items():
            pd.testing.assert_frame_equal(loaded.tables[name].reset_index(drop=True), frame, check_exact=True)
        assert loaded.document() == claim.document() and loaded.n == 24
    assert store.read_json(path)["values"]["judged"] == {"value": None, "reason": "no judge"}
    assert "&lt;may&gt;" in claim._repr_html_() and "no judge" not in repr(claim)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[: len(text) // 2], "damaged or cut short"),
        (lambda text: text.replace('"found": "undecided"', '"found": "perhaps"'), "Run the measurement again"),
        (lambda text: text.replace('"low": 0.1', '"low": 0.9'), "Run the measurement again"),
        (lambda text: text.replace('"rows"', '"lines"'), "Run the measurement again"),
        (lambda text: json.dumps(json.loads(text) | {"values": []}), "Run the measurement again"),
        (lambda text: json.dumps(json.loads(text) | {"tables": {"first": {"columns": ["n"], "rows": [[1]]}}}), "again"),
        (lambda text: json.dumps(json.loads(text) | {"tables": {}}), "no table"),
        (lambda text: "[]", "does not hold what small found"),
    ],
)
def test_a_damaged_claim_names_its_file_and_the_cure(tmp_path: Path, change: Callable[[str], str], says: str) -> None:
    path = made().save(tmp_path)
    before = path.read_text("utf-8")
    path.write_text(change(before), "utf-8")
    assert path.read_text("utf-8") != before
    with pytest.raises(store.StoreError, match=says) as error:
        Small.load(path)
    assert str(path) in str(error.value)


def test_another_claim_or_none_is_not_this_one(tmp_path: Path) -> None:
    path = made().save(tmp_path)
    with pytest.raises(store.StoreError, match="does not hold what another found"):
        Another.load(path)
    with pytest.raises(store.StoreError, match=r"another\.json: there is no such file"):
        Another.load(tmp_path)
    with pytest.raises(ClaimError, match="found 'yes', 'no', 'undecided', 'cannot be measured', not 'maybe'"):
        made(found="maybe")
    with pytest.raises(ClaimError, match="small has no table: there is nothing behind its sentence"):
        made(tables={})
    with pytest.raises(ClaimError, match=r"small has no figure: use table\(\)"):
        made().figure()


# tables and the journal


def test_every_digit_and_type_of_a_table_comes_back() -> None:
    again = as_frame(json.loads(json.dumps(as_plain(FRAME))))
    pd.testing.assert_frame_equal(again, FRAME, check_exact=True)
    assert as_frame(as_plain(FRAME.iloc[:0])).dtypes.astype(str).tolist() == [str(kind) for kind in FRAME.dtypes]


def test_the_journal_makes_each_part_once(tmp_path: Path) -> None:
    journal, asked = Journal(tmp_path / "journal"), []

    def make(n: int) -> Callable[[], pd.DataFrame]:
        return lambda: asked.append(n) or FRAME.assign(n=n)  # type: ignore[func-returns-value]

    first = journal.frame("rises", {"seed": 0}, make(1))
    again = Journal(tmp_path / "journal").frame("rises", {"seed": 0}, make(2))
    pd.testing.assert_frame_equal(again, first, check_exact=True)
    others = [journal.frame("rises", {"seed": 1}, make(3)), journal.frame("falls", {"seed": 0}, make(4))]
    assert [int(frame["n"].iloc[0]) for frame in others] == [3, 4] and asked == [1, 3, 4]
    assert Journal().frame("rises", {"seed": 0}, make(5))["n"].iloc[0] == 5, "without a folder nothing is kept"


@pytest.mark.parametrize("damage", ['{"format": "harm', "[]", '{"format": "older", "table": {}}', '{"table": {}}'])
def test_a_damaged_part_is_named_and_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    journal = Journal(tmp_path)
    journal.frame("rises", 0, lambda: FRAME)
    (path,) = tmp_path.iterdir()
    path.write_text(damage, "utf-8")
    with caplog.at_level(logging.WARNING):
        made_anew = journal.frame("rises", 0, lambda: FRAME.assign(n=7))
    assert str(path) in caplog.text and "made anew" in caplog.text and set(made_anew["n"]) == {7}
    assert set(journal.frame("rises", 0, lambda: pytest.fail("it was made again"))["n"]) == {7}


def test_a_write_that_is_interrupted_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)

    def stopped(self: Path, *_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", stopped)
        journal.frame("rises", 0, lambda: FRAME)
    assert not list(tmp_path.iterdir())
    assert len(journal.frame("rises", 0, lambda: FRAME)) == 3


def test_names_differ_where_what_is_off_differs_and_nowhere_else(tiny: Any) -> None:
    mask, fewer = make_mask(tiny), make_mask(tiny, every=103)
    different: list[Ablation] = [None, HEAD, OTHER, OWN, mask, fewer, Circuit(heads=[(1, 3)])]
    assert len({name_of(one) for one in different}) == len(different)
    backwards = WeightMask(indices=dict(reversed(mask.indices.items())), shapes=dict(reversed(mask.shapes.items())))
    assert name_of(backwards) == name_of(mask)
    assert name_of(Circuit(neurons=OWN.neurons[::-1], heads=OWN.heads)) == name_of(OWN)
