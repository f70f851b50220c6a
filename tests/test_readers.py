"""load_prompts: every format, what of a file is read and how, and published files."""

import csv
import json
from pathlib import Path

import pytest
from prompt_files import fails, lines, write

from harmcircuits.data import FORMATS, PromptError, PromptSet, load_prompts

DATA = Path(__file__).parents[2] / "shared" / "data"


def only(prompts: PromptSet) -> tuple[str, ...]:
    """The fields of a set's one prompt."""
    (p,) = prompts
    return p.request, p.prefill, p.category, p.group, p.role, p.harm_group


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
@pytest.mark.parametrize("suffix", [".tsv", ".json"])
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
