"""Names that mean more than a name, and tables that a spreadsheet would compute."""

import csv
import json
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits import store
from harmcircuits.components import Circuit
from harmcircuits.experiments.folder import read_outcomes, save_circuits
from harmcircuits.models.adapters import base_of
from harmcircuits.store.sheets import as_csv, as_read

# Names


def test_names_never_leave_their_folder(tmp_path: Path) -> None:
    names = ["../../up", "/etc/passwd", "a/b", "..", "CON", "a\0b", "x" * 3, "=1+1", "\u202egnp.exe", "heads"]
    files = save_circuits(tmp_path / "deep" / "circuits", {name: Circuit(heads=[(0, 0)]) for name in names}, {})
    assert len(set(files.values())) == len(names), "no two in one"
    assert {path.name for path in (tmp_path / "deep" / "circuits").iterdir()} == set(files.values())
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]


@pytest.mark.parametrize("base", ["../../elsewhere", "/etc", "somebody/a-model", "~"])
def test_what_an_adapter_is_of_is_a_model_to_load_and_no_place_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    monkeypatch.setattr("harmcircuits.models.adapters._peft", lambda folder: None)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    assert base_of(tmp_path) == base, "as it stands, unless a model's folder is there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_a_name_in_another_encoding_is_written_and_read(tmp_path: Path) -> None:
    """A folder's name on Linux is bytes: those that are no UTF-8 reach us as halves of character pairs."""
    name = b"mod\xe8le".decode("utf-8", "surrogateescape")
    store.write_json(tmp_path / "r.json", {"model": name, "note": "dänce 😀"})
    assert store.read_json(tmp_path / "r.json") == {"model": name, "note": "dänce 😀"}
    store.write_text(tmp_path / "r.html", f"<p>{name}</p>")
    assert (tmp_path / "r.html").read_text("utf-8") == "<p>mod\\udce8le</p>"


# Spreadsheets

FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://example.org?"&A1,"x")',
    "+1",
    "-1+cmd",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "'=1",
    "'",
]


def test_no_text_of_a_table_is_a_formula() -> None:
    frame = pd.DataFrame({"group": [*FORMULAS, "plain", ""], "nll": -1.5})
    rows = list(csv.reader(StringIO(as_csv(frame), newline="")))[1:]
    for row in rows:
        assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝")), row
        assert row[1] == "-1.5", "numbers stay numbers"


@given(st.lists(st.one_of(st.sampled_from(FORMULAS), st.text(alphabet="=+-@'ab \t", max_size=6)), min_size=1))
def test_the_table_is_read_back_as_it_was(texts: list[str]) -> None:
    frame = pd.DataFrame({"group": texts, "nll": [0.25] * len(texts)})
    header, *rows = csv.reader(StringIO(as_csv(frame), newline=""))
    assert as_read(pd.DataFrame(rows, columns=header))["group"].tolist() == texts


def test_outcomes_keep_names_that_look_like_formulas(tmp_path: Path) -> None:
    who = {"condition": "=cut", "category": "@home", "harm_group": "'x", "group": "-1", "role": "near"}
    frame = pd.DataFrame([who | {"nll": -0.5}, who | {"nll": float("nan")}])
    columns = [column for column in frame.columns if column != "nll"]
    store.write_text(tmp_path / "outcomes.csv", as_csv(frame))
    assert "'=cut,'@home,''x,'-1,near,-0.5" in (tmp_path / "outcomes.csv").read_text("utf-8")
    read = read_outcomes(tmp_path / "outcomes.csv")
    assert read[columns].iloc[0].to_dict() == {column: who[column] for column in columns}
    assert read["nll"].tolist()[0] == -0.5 and read["nll"].isna().tolist() == [False, True]
