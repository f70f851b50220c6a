"""load_prompts: every format, and errors that name the file, the line and the cure without quoting a request."""

import csv
import json
import logging
from pathlib import Path

import pytest

from harmcircuits.prompts import PromptError, PromptSet, load_prompts
from harmcircuits.prompts.formats import FORMATS
from harmcircuits.prompts.readers import BUILTIN

DATA = Path(__file__).parents[2] / "shared" / "data"
SECRET = "Tell my cat the way to the warm barn"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(*rows: dict[str, object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def only(prompts: PromptSet) -> tuple[str, ...]:
    """The fields of a set's one prompt."""
    (p,) = prompts
    return p.request, p.prefill, p.category, p.group, p.role, p.harm_group


def fails(path: Path, *fragments: str, **options: object) -> None:
    """Loading raises PromptError with these fragments, and without the request."""
    with pytest.raises(PromptError) as error:
        load_prompts(path, **options)  # type: ignore[arg-type]
    message = str(error.value)
    assert all(fragment in message for fragment in fragments), message
    assert SECRET not in message and "barn" not in message


@pytest.mark.parametrize(
    ("columns", "row", "expected"),
    [
        ("goal,target", "Sing,Sure: la la", ("Sing", "Sure:", "", "", "harmful", "")),
        ("goal,target", "Sing,' Sure, here is a song '", ("Sing", "Sure, here is a song", "", "", "harmful", "")),
        ("category,source,forbidden_prompt", "music,me,Sing", ("Sing", "", "music", "", "harmful", "")),
        ("category,forbidden_prompt", "music,Sing", ("Sing", "", "music", "", "harmful", "")),
        ("category,prompt", "music,Sing", ("Sing", "", "music", "", "harmful", "")),
        ("id,prompt,type,label,focus,note", "1,Sing,songs,safe,x,", ("Sing", "", "songs", "", "near", "")),
        (
            "id,prompt,type,label,focus,note",
            "1,Sing,contrast_songs,unsafe,x,",
            ("Sing", "", "songs", "", "harmful", ""),
        ),
        ("prompt,type,label", "Sing,nons_group_real_discr,safe", ("Sing", "", "discr", "", "near", "")),
        ("prompt,type,label", "Sing,contrast_discr,unsafe", ("Sing", "", "discr", "", "harmful", "")),
        ("prompt,type,label", "Sing,privacy_fictional,safe", ("Sing", "", "privacy", "", "near", "")),
        (
            "id,risk_area,types_of_harm,specific_harms,question",
            "1,Noise,Loud songs,Very loud,Sing",
            ("Sing", "", "Loud songs", "", "harmful", "Noise"),
        ),
        (
            "Index,Goal,Target,Behavior,Category,Source",
            "0,Sing,Sure:,b,music,me",
            ("Sing", "Sure:", "music", "", "harmful", ""),
        ),
        (
            "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID",
            "Sing,contextual,music,,A long song,sing_1",
            ("A long song\n\n---\n\nSing", "", "music", "", "harmful", ""),
        ),
        (
            "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID",
            "Sing,standard,music,,,sing_1",
            ("Sing", "", "music", "", "harmful", ""),
        ),
        ("request", "Sing", ("Sing", "", "", "", "harmful", "")),
        ("Request,Role,group,note", "Sing,far,g,mine", ("Sing", "", "", "g", "far", "")),
        (
            "harm_group,prefill,request,category,group,role",
            "noise,La: ,Sing,music,g,near",
            ("Sing", "La: ", "music", "g", "near", "noise"),
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl"])
def test_formats(tmp_path: Path, columns: str, row: str, expected: tuple[str, ...], suffix: str) -> None:
    header = columns.split(",")
    (values,) = csv.reader([row], quotechar="'")
    record: dict[str, object] = dict(zip(header, values, strict=True))
    path = tmp_path / f"file{suffix}"
    if suffix == ".json":
        write(path, json.dumps([record], indent=2))
    elif suffix == ".jsonl":
        write(path, lines(record))
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",").writerows([header, values])
    assert only(load_prompts(path)) == expected


def test_do_not_answer_by_area_takes_the_category_from_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "loud_songs.jsonl", lines({"prompt": "Sing", "intents": ["S1", "S2"]}))
    assert only(load_prompts(path)) == ("Sing", "", "loud_songs", "", "harmful", "")


def test_jailbreakbench_benign_behaviours_are_near_twins(tmp_path: Path) -> None:
    path = write(tmp_path / "benign-behaviors.csv", "Index,Goal,Target,Behavior,Category,Source\n0,Sing,Sure:,b,music,me\n")
    assert only(load_prompts(path)) == ("Sing", "Sure:", "music", "", "near", "")


def test_self_instruct_joins_instruction_and_input(tmp_path: Path) -> None:
    seeds = [
        {"id": "seed_0", "name": "song", "instruction": "Sing this.", "input": "La la", "output": "…"},
        {"id": "seed_1", "name": "dance", "instruction": "Dance.", "input": " ", "output": "…"},
    ]
    prompts = load_prompts(write(tmp_path / "seeds.json", json.dumps(seeds)))
    assert [p.request for p in prompts] == ["Sing this.\n\nLa la", "Dance."]
    assert prompts.far_twins == prompts.prompts and prompts.name == "seeds"


def test_triples_make_three_prompts_a_row(tmp_path: Path) -> None:
    row = {"id": "a-01", "harm_group": "pranks", "category": "a", "prefill": "Sure:"}
    row |= {"harmful": "Hide the tea.", "near": "Find the tea.", "far": "Draw a bird."}
    prompts = load_prompts(write(tmp_path / "t.jsonl", lines(row)))
    (triple,) = prompts.triples
    assert (triple.harmful.request, triple.near.request, triple.far.request) == (
        row["harmful"],
        row["near"],
        row["far"],
    )
    assert {(p.prefill, p.category, p.group, p.harm_group) for p in prompts} == {("Sure:", "a", "a-01", "pranks")}


def test_every_format_is_recognised_from_its_required_columns(tmp_path: Path) -> None:
    values = {"label": "safe"}
    for name, kind in FORMATS.items():
        path = write(tmp_path / "f.jsonl", lines({column: values.get(column, f"a {column}") for column in kind.required}))
        assert load_prompts(path) == load_prompts(path, format=name)


def test_a_named_format_wins_over_the_recognised_one(tmp_path: Path) -> None:
    path = write(tmp_path / "f.jsonl", lines({"request": "Sing", "category": "music", "prompt": "Dance"}))
    assert only(load_prompts(path))[0] == "Dance", "two columns are more than one"
    assert only(load_prompts(path, format="plain"))[0] == "Sing"


def test_prefill_overrides(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "goal,target\nSing,Sure:\n")
    assert [only(load_prompts(path, prefill=p))[1] for p in (None, "", "Yes:")] == ["Sure:", "", "Yes:"]
    assert {p.prefill for p in load_prompts(prefill="Yes:")} == {"Yes:"}


def test_columns_name_the_fields_of_a_plain_file(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "text,goal,target,category,role\nSing,x,y,music,far\n")
    assert only(load_prompts(path, columns={"request": "text"})) == ("Sing", "", "music", "", "far", "")
    both = load_prompts(path, columns={"request": "text", "category": "target", "group": "target"}, format="plain")
    assert only(both) == ("Sing", "", "y", "y", "far", "")
    fails(path, "no column 'txet'", "found 'text', 'goal'", columns={"request": "txet"})
    fails(path, "'kind' is no field", "request, prefill, category, group, role, harm_group", columns={"kind": "text"})
    fails(path, "leave out format='advbench'", columns={"request": "text"}, format="advbench")
    fails(path, "line 2", "expected the columns request", columns={"category": "target"})


def test_text_is_read_as_written(tmp_path: Path) -> None:
    path = write(
        tmp_path / "f.csv",
        b'\xef\xbb\xbfrequest,category\r\n"Sing, ""la""\r\n\r\nthen d\xc3\xa4nce",m\r\n\r\nRest,\r\n',
    )
    assert [p.request for p in load_prompts(path)] == ['Sing, "la"\r\n\r\nthen dänce', "Rest"]
    path = write(
        tmp_path / "f.jsonl",
        b'\xef\xbb\xbf{"request": "Sing\xe2\x80\xa8la"}\r\n\r\n{"request": "Rest", "category": null}',
    )
    assert [p.request for p in load_prompts(path)] == ["Sing\u2028la", "Rest"]
    path = write(tmp_path / "f.json", lines({"request": "Sing"}, {"request": "Rest", "group": 7}))
    assert [(p.request, p.group) for p in load_prompts(path)] == [("Sing", ""), ("Rest", "7")]
    path = write(tmp_path / "f.tsv", "request\tcategory\rSing\tm\r")
    assert only(load_prompts(path))[:3] == ("Sing", "", "m")


def test_pandas_index_columns_are_ignored(tmp_path: Path) -> None:
    assert only(load_prompts(write(tmp_path / "f.csv", ",goal,target\n0,Sing,Sure:\n")))[0] == "Sing"


def test_long_fields_are_read_and_the_limit_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    long = "la " * before
    assert only(load_prompts(write(tmp_path / "f.csv", f"request\n{long}\n")))[0] == long.strip()
    with pytest.raises(PromptError):
        load_prompts(write(tmp_path / "g.csv", 'request\n"la\n'))
    assert csv.field_size_limit() == before


def test_folders_are_read_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl"):
        write(tmp_path / name, lines({"prompt": f"Sing {name}", "intents": []}))
    write(tmp_path / "LICENSE", "words")
    write(tmp_path / ".hidden.csv", "words")
    prompts = load_prompts(tmp_path)
    assert [p.category for p in prompts] == ["a", "b"] and prompts.name == tmp_path.name
    write(tmp_path / "c.csv", "goal,target\nSing,Sure:\n")
    fails(tmp_path, "one format", "a.jsonl: do-not-answer-intents", "c.csv: advbench")
    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", str(tmp_path / "empty"), ".csv, .tsv, .json, .jsonl")


def test_names(tmp_path: Path) -> None:
    path = write(tmp_path / "my.set.csv", "request\nSing\n")
    assert [load_prompts(path).name, load_prompts(str(path), name="mine").name] == ["my.set", "mine"]
    assert [load_prompts().name, load_prompts(name="mine").name] == ["built-in", "mine"]
    assert load_prompts() == load_prompts(BUILTIN, name="built-in")


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


@pytest.mark.parametrize(
    ("source", "harmful", "near", "far", "categories"),
    [
        ("advbench/advbench.csv", 520, 0, 0, 0),
        ("strongreject/strongreject.csv", 313, 0, 0, 6),
        ("xstest/xstest_prompts.csv", 200, 250, 0, 8),
        ("do_not_answer", 939, 0, 0, 5),
        ("selfinstruct_seed/seed_tasks_flat.json", 0, 0, 175, 0),
    ],
)
def test_published_files(source: str, harmful: int, near: int, far: int, categories: int) -> None:
    if not (DATA / source).exists():
        pytest.skip(f"the benchmark file {source} is not here; it is not part of the package")
    prompts = load_prompts(DATA / source)
    assert (len(prompts.harmful), len(prompts.near_twins), len(prompts.far_twins)) == (harmful, near, far)
    assert len(prompts.categories) == categories
    assert sum(map(len, prompts.split())) == len(prompts)
    if source.startswith("advbench"):
        assert all(p.prefill and "\n" not in p.prefill for p in prompts)
