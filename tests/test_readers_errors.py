"""load_prompts: errors name the file, the line and the cure without quoting a request, and nothing is logged."""

import logging
from pathlib import Path

import pytest
from prompt_files import SECRET, fails, lines, write

from harmcircuits.data import FORMATS, load_prompts


@pytest.mark.parametrize(
    ("name", "content", "fragments"),
    [
        ("f.txt", SECRET, ["f.txt", ".csv, .tsv, .json, .jsonl"]),
        ("f.csv", "", ["no prompts"]),
        ("f.csv", "request\n\n", ["no prompts"]),
        ("f.json", "[]", ["no prompts"]),
        ("f.jsonl", "\n \n", ["no prompts"]),
        ("f.csv", b"request\nSing\n" + SECRET.encode() + b"\xff\n", ["line 3", "byte 0xff", "UTF-8"]),
        ("f.csv", f"request\n{SECRET}\0\n", ["line 2", "NUL"]),
        ("f.csv", f"request\n{SECRET}\n".encode("utf-16"), ["line 1", "NUL", "UTF-16"]),
        ("f.csv", f'request,category\n"{SECRET}\nto,b\n', ["line 2", "CSV"]),
        ("f.csv", f'request,category\n"Sing\nla",m\n"{SECRET}"x,b\n', ["line 4", "CSV"]),
        (
            "f.csv",
            f"request,category\nSing,m\n{SECRET}, and back,b\n",
            ["line 3", "2 columns ('request', 'category')", "found 3"],
        ),
        ("f.csv", f"request,category\n{SECRET}\n", ["line 2", "found 1"]),
        ("f.csv", "request,Request\nSing,x\n", ["line 1", "'request' occurs twice"]),
        ("f.csv", "request,category\nSing,m\n \t,m\n", ["line 3", "'request' is blank"]),
        ("f.csv", f"{SECRET}\nSing\n", ["no known format", "<a text of 36 characters>"]),
        ("f.csv", f"query,kind\n{SECRET},m\n", ["'query', 'kind'", *FORMATS, "goal, target", "columns={'request'"]),
        ("f.csv", f"request,role\n{SECRET},bad\n", ["line 2", "unknown role 'bad'", "'harmful', 'near', 'far'"]),
        ("f.csv", f"request,role\nla,{SECRET}\n", ["line 2", "unknown role <a text of 36 characters>"]),
        ("f.csv", f"request,group\n{SECRET},g\nSing,h\nDance,g\n", ["line 4", "'g' already has a 'harmful'", "line 2"]),
        ("f.csv", f"prompt,type,label\n{SECRET},t,maybe\n", ["line 2", "'maybe'", "'safe' or 'unsafe'"]),
        ("f.jsonl", lines({"request": "Sing"}) + '{"request": "barn"\n', ["line 2", "JSON"]),
        ("f.jsonl", '{"request": "barn"} {"request": "barn"}\n', ["line 1", "more than one"]),
        ("f.jsonl", '"barn"\n', ["line 1", "found str"]),
        (
            "f.jsonl",
            lines({"goal": SECRET, "target": ""}, {"goal": SECRET}),
            ["line 2", "goal, target", "found 'goal'"],
        ),
        ("f.jsonl", lines({"request": [SECRET]}), ["line 1", "'request' holds a list"]),
        ("f.jsonl", lines({"request": SECRET, "category": True}), ["line 1", "'category' holds a bool"]),
        ("f.jsonl", lines({"request": None}), ["line 1", "'request' is blank"]),
        ("f.jsonl", '{"request": "barn \\ud800"}', ["line 1", "half a character pair"]),
        ("f.jsonl", '{"request": "barn \\u0000"}', ["line 1", "NUL"]),
        ("f.jsonl", '{"request": ' + "[" * 100_000, ["line 1", "too large"]),
        ("f.jsonl", '{"request": ' + "1" * 5000 + "}", ["line 1", "too large"]),
        ("f.json", '[\n{"request": "Sing"},\n\n{"request": "barn",}\n]', ["line 4", "JSON"]),
        ("f.json", '[\n{"request": "Sing"}\n{"request": "barn"}]', ["line 3", "','"]),
        ("f.json", '[\n{"request": "Sing"},\n', ["line 3", "']'"]),
        ("f.json", '[{"request": "Sing"}]\n\nbarn', ["']'", "nothing after"]),
        ("f.json", '[\n{"request": "Sing"},\n\n{"request": ""}]', ["line 4", "blank"]),
        ("f.json", '{\n"request": "barn"\n}', ["line 1", "one object a line, or one list"]),
    ],
)
def test_errors_name_the_place_and_never_quote(tmp_path: Path, name: str, content: str, fragments: list[str]) -> None:
    path = write(tmp_path / name, content)
    fails(path, str(path), *fragments)


def test_duplicate_roles_across_files_name_both(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        write(tmp_path / name, "request,group\nSing,g\n")
    fails(tmp_path, "b.csv, line 2", "a.csv, line 2")


def test_missing_file_names_the_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fails(Path("nowhere.csv"), str(tmp_path / "nowhere.csv"), "load_prompts()")


def test_unknown_and_unfit_formats(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", f"request\n{SECRET}\n")
    fails(path, "format='advbnech' is unknown", *FORMATS, format="advbnech")
    fails(path, "line 2", "expected the columns goal, target, found 'request'", format="advbench")


def test_nothing_of_a_request_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        load_prompts(write(tmp_path / "f.csv", f"request\n{SECRET}\n"))
    assert "1 prompts in format plain" in caplog.text and "barn" not in caplog.text
