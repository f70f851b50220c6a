"""load_prompts: formats, files and folders, benchmarks by name; errors name file, place and cure, and never quote a request."""

import csv
import json
import logging
import shutil
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
from shell import call, told

from harmcircuits.data import FORMATS, PREFILLS, PromptSet, load_prompts, sources
from harmcircuits.data.sources import BENCHMARKS
from harmcircuits.errors import HarmcircuitsError

SHARED = Path(__file__).parents[2] / "shared" / "data"
DOCS = Path(__file__).parents[1] / "docs" / "prompts.md"
SECRET = "Tell my cat the way to the warm barn"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(*rows: dict[str, object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def fails(path: str | Path, *fragments: str, **options: object) -> None:
    """Loading raises HarmcircuitsError with these fragments, and without the request."""
    with pytest.raises(HarmcircuitsError) as error:
        load_prompts(path, **options)  # type: ignore[arg-type]
    message = str(error.value)
    assert all(fragment in message for fragment in fragments), message
    assert SECRET not in message and "barn" not in message


def only(prompts: PromptSet) -> tuple[str, ...]:
    """The fields of a set's one prompt."""
    (p,) = prompts
    return p.request, p.prefill, p.category, p.group, p.role, p.harm_group


XSTEST = "id,prompt,type,label,focus,note"
HARMBENCH = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID"
JAILBREAKBENCH = "Index,Goal,Target,Behavior,Category,Source"
EXAMPLES = [
    ("goal,target", "Sing,Sure: la la", ("Sing", "Sure:", "", "", "harmful", "")),
    ("goal,target", "Sing,' Sure, here is a song '", ("Sing", "Sure, here is a song", "", "", "harmful", "")),
    ("category,source,forbidden_prompt", "music,me,Sing", ("Sing", "", "music", "", "harmful", "")),
    (XSTEST, "1,Sing,songs,safe,x,", ("Sing", "", "songs", "", "near", "")),
    (XSTEST, "1,Sing,contrast_songs,unsafe,x,", ("Sing", "", "songs", "", "harmful", "")),
    ("prompt,type,label", "Sing,nons_group_real_discr,safe", ("Sing", "", "discr", "", "near", "")),
    ("prompt,type,label", "Sing,contrast_discr,unsafe", ("Sing", "", "discr", "", "harmful", "")),
    ("prompt,type,label", "Sing,privacy_fictional,safe", ("Sing", "", "privacy", "", "near", "")),
    (
        "id,risk_area,types_of_harm,specific_harms,question",
        "1,Noise,Songs,x,Sing",
        ("Sing", "", "Songs", "", "harmful", "Noise"),
    ),
    (JAILBREAKBENCH, "0,Sing,Sure:,b,music,me", ("Sing", "Sure:", "music", "", "harmful", "")),
    (HARMBENCH, "Sing,contextual,music,,A long song,s", ("A long song\n\n---\n\nSing", "", "music", "", "harmful", "")),
    (HARMBENCH, "Sing,standard,music,,,s", ("Sing", "", "music", "", "harmful", "")),
    ("id,name,instruction,input,output", "1,song,Sing.,La la,…", ("Sing.\n\nLa la", "", "", "", "far", "")),
    ("request", "Sing", ("Sing", "", "", "", "harmful", "")),
    ("Request,Role,group,note", "Sing,far,g,mine", ("Sing", "", "", "g", "far", "")),
    ("harm_group,prefill,request,category,group,role", "noise,La: ,Sing,m,g,near", ("Sing", "La: ", "m", "g", "near", "noise")),
]


@pytest.mark.parametrize(("columns", "row", "expected"), EXAMPLES)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl"])
def test_formats(tmp_path: Path, columns: str, row: str, expected: tuple[str, ...], suffix: str) -> None:
    header, (values,) = columns.split(","), csv.reader([row], quotechar="'")
    record, path = dict(zip(header, values, strict=True)), tmp_path / f"file{suffix}"
    if suffix in (".json", ".jsonl"):
        write(path, json.dumps([record], indent=2) if suffix == ".json" else json.dumps(record))
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter="\t" if suffix == ".tsv" else ",").writerows([header, values])
    assert only(load_prompts(path)) == expected


def test_triples_make_three_prompts_a_row(tmp_path: Path) -> None:
    texts = {"harmful": "Hide the tea.", "near": "Find the tea.", "far": "Draw a bird."}
    row = {"id": "a-01", "harm_group": "pranks", "category": "a", "prefill": "Sure:", **texts}
    prompts = load_prompts(write(tmp_path / "t.jsonl", lines(row)))
    (triple,) = prompts.triples
    assert (triple.harmful.request, triple.near.request, triple.far.request) == tuple(texts.values())
    assert {(p.prefill, p.category, p.group, p.harm_group) for p in prompts} == {("Sure:", "a", "a-01", "pranks")}


def test_options(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "text,goal,target,category,role\nSing,Dance,Sure: la,music,far\n")
    assert only(load_prompts(path))[:2] == ("Dance", "Sure:") and load_prompts(path).name == "f"
    assert [only(load_prompts(path, prefill=prefill))[1] for prefill in ("", "Yes:")] == ["", "Yes:"]
    table = pd.read_csv(path).drop(columns="goal").rename(columns={"text": "request"})
    assert only(load_prompts(table)) == ("Sing", "", "music", "", "far", "")


def test_a_table_in_memory_is_read_as_a_file_is(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "id,category,harmful,near,far\n1,music,Sing,Hum,Dance\n2,art,Draw,Paint,Rest\n")
    table = pd.read_csv(path)
    prompts = load_prompts(path)
    assert prompts.prompts == load_prompts(table).prompts == load_prompts(table.to_dict("records")).prompts
    assert load_prompts(list(prompts)).prompts == load_prompts(prompts).prompts == prompts.prompts
    assert only(load_prompts(["Sing"], prefill="La: ")) == only(load_prompts(pd.Series(["Sing"]), prefill="La: "))
    gaps = load_prompts(pd.DataFrame({"request": ["Sing", "Hum"], "category": ["m", None]}))
    assert [(p.request, p.category) for p in gaps] == [("Sing", "m"), ("Hum", "")]
    both = load_prompts(harmful=["Sing", "Hum"], benign=[{"category": "art", "request": "Draw"}])
    assert [(p.role, p.prefill) for p in both] == [("harmful", PREFILLS[0]), ("harmful", PREFILLS[1]), ("far", PREFILLS[0])]
    for wrong, fragment in (
        ([], "no prompts"),
        ([SECRET, 3], "prompt 1 is of type int"),
        (pd.DataFrame([SECRET]), "columns '0'"),
    ):
        fails(wrong, fragment)  # type: ignore[arg-type]


def test_text_is_read_as_written(tmp_path: Path) -> None:
    path = write(
        tmp_path / "f.csv", b'\xef\xbb\xbfrequest,category\r\n"Sing, ""la""\r\n\r\nthen d\xc3\xa4nce",m\r\n\r\nRest,\r\n'
    )
    assert [p.request for p in load_prompts(path)] == ['Sing, "la"\r\n\r\nthen dänce', "Rest"]
    path = write(tmp_path / "f.jsonl", b'\xef\xbb\xbf{"request": "Sing\xe2\x80\xa8la"}\r\n\r\n{"request": "Rest", "group": 7}')
    assert [(p.request, p.group) for p in load_prompts(path)] == [("Sing\u2028la", ""), ("Rest", "7")]


def test_folders_are_read_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl"):
        write(tmp_path / name, lines({"category": name, "request": "Sing"}))
    write(tmp_path / "LICENSE", "words")
    write(tmp_path / ".hidden.csv", "words")
    prompts = load_prompts(tmp_path)
    assert [p.category for p in prompts] == ["a.jsonl", "b.jsonl"] and prompts.name == tmp_path.name
    write(tmp_path / "c.csv", "goal,target\nSing,Sure:\n")
    assert load_prompts(tmp_path)[2].prefill == "Sure:", "each file has its own format"


@pytest.mark.parametrize(
    ("name", "content", "fragments"),
    [
        ("f.txt", SECRET, ["f.txt", ".csv, .tsv, .json, .jsonl"]),
        ("f.csv", "request\n\n", ["no prompts"]),
        ("f.json", "[]", ["no prompts"]),
        ("f.csv", f"request\n{SECRET}\n".encode("utf-16"), ["UTF-8"]),
        ("f.csv", f'request,category\n"Sing\nla",m\n"{SECRET}"x,b\n', ["line", "Error"]),
        ("f.csv", f"request,category\nSing,m\n{SECRET}, and back,b\n", ["line 3", "2 columns ('request', 'category')"]),
        ("f.csv", f"request,category\n{SECRET}\n", ["line 2", "2 columns"]),
        ("f.csv", "request,category\nSing,m\n \t,m\n", ["line 3", "'request' is blank"]),
        ("f.csv", f"{SECRET}\nSing\n", ["no known format", "<a text of 36 characters>"]),
        ("f.csv", f"query,kind\n{SECRET},m\n", ["'query', 'kind'", *FORMATS, "goal, target"]),
        ("f.csv", f"request,role\n{SECRET},bad\n", ["line 2", "unknown role 'bad'", "'harmful', 'near', 'far'"]),
        ("f.csv", f"request,group\n{SECRET},g\nDance,g\n", ["line 3: the second 'harmful' prompt of its group"]),
        ("f.csv", f"prompt,type,label\n{SECRET},t,maybe\n", ["line 2", "'maybe'", "'safe' or 'unsafe'"]),
        ("f.jsonl", lines({"request": "Sing"}) + '{"request": "barn"\n', ["line 2", "JSON"]),
        ("f.jsonl", '"barn"\n', ["line 1", "found str"]),
        ("f.jsonl", lines({"goal": SECRET, "target": ""}, {"goal": SECRET}), ["line 2", "goal, target", "found 'goal'"]),
        ("f.jsonl", lines({"request": [SECRET]}), ["line 1", "'request' holds a list"]),
        ("f.jsonl", '{"request": "barn \\ud800"}', ["line 1", "half a character pair"]),
        ("f.jsonl", '{"request": ' + "[" * 100_000, ["line 1", "JSON"]),
        ("f.json", '[{"request": "Sing"},\n{"request": ""}]', ["entry 2", "blank"]),
    ],
)
def test_errors_name_the_place_and_never_quote(tmp_path: Path, name: str, content: str, fragments: list[str]) -> None:
    fails(write(tmp_path / name, content), *fragments)


def test_paths_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fails("nowhere.csv", str(tmp_path / "nowhere.csv"), *BENCHMARKS)
    fails(f"{SECRET} " * 20, "<a text of")


def test_nothing_of_a_request_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        load_prompts(write(tmp_path / "f.csv", f"request\n{SECRET}\n"))
    assert "in format plain" in caplog.text and "barn" not in caplog.text


# benchmarks by name, here of harmless rows

ROWS = {
    "advbench": ("goal,target\nSing,Sure: la\nDance,Sure: hop\n", ["harmful"] * 2),
    "harmbench": (f"{HARMBENCH}\nSing,standard,music,,,a\nCopy,copyright,copyright,,,b\n", ["harmful"]),  # one is left out
    "jailbreakbench": (f"{JAILBREAKBENCH}\n0,Sing,Sure: la,b,music,me\n", ["harmful", "near"]),  # two files
    "strongreject": ("category,source,forbidden_prompt\nmusic,me,Sing\nmusic,me,Dance\n", ["harmful"] * 2),
    "xstest": (f"{XSTEST}\n1,Sing,a,safe,,\n2,Dance,a,safe,,\n3,Shout,contrast_a,unsafe,,\n", ["near", "near", "harmful"]),
}


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the benchmarks are fetched from."""
    table = {}
    for name, (content, _) in ROWS.items():
        (tmp_path / name).mkdir()
        files = [write(tmp_path / name / url.rpartition("/")[2], content) for url in BENCHMARKS[name]]
        table[name] = {file.as_uri(): sha256(content.encode()).hexdigest() for file in files}
    monkeypatch.setattr(sources, "BENCHMARKS", table)
    return tmp_path


@pytest.mark.parametrize("name", ROWS)
def test_a_benchmark_is_fetched_once_and_read_by_its_format(name: str, origin: Path) -> None:
    prompts = load_prompts(name)
    assert prompts.name == name and [prompt.role for prompt in prompts] == ROWS[name][1]
    shutil.rmtree(origin / name)
    assert load_prompts(name) == prompts, "from the cache"


@pytest.mark.usefixtures("origin")
def test_prefills_and_two_sources() -> None:
    assert [prompt.prefill for prompt in load_prompts("advbench")] == ["Sure:", "Sure:"], "its own"
    assert [prompt.prefill for prompt in load_prompts("xstest")] == [PREFILLS[0], PREFILLS[1], PREFILLS[0]], "in turn by role"
    both = load_prompts(harmful="strongreject", benign="xstest")
    assert [(p.request, p.role) for p in both] == [("Sing", "harmful"), ("Dance", "harmful"), ("Sing", "far"), ("Dance", "far")]
    assert both.name == "strongreject and xstest" and {prompt.prefill for prompt in both} == set(PREFILLS[:2])
    assert [prompt.request for prompt in load_prompts(harmful="xstest", benign="xstest").harmful] == ["Shout"]
    with pytest.raises(HarmcircuitsError, match="advbench"):
        load_prompts(harmful="strongreject", benign="advbench")


def test_another_digest_no_network_and_by_hand(origin: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((url, expected),) = sources.BENCHMARKS["advbench"].items()
    file, place = origin / "advbench" / "harmful_behaviors.csv", own_cache / "benchmarks" / "advbench" / "harmful_behaviors.csv"
    good = file.read_bytes()
    fails("advbench", url, sha256(write(file, "goal,target\nShout,Sure: ha\n").read_bytes()).hexdigest(), expected)
    assert not place.exists()
    monkeypatch.chdir(origin)
    assert len(load_prompts("./advbench")) == 1, "a path is no name"
    file.unlink()
    fails("advbench", url, str(place), "SHA-256")
    told(call("dissociate", "--prompts", "advbench", "--out", origin / "out"), url)
    place.parent.mkdir(parents=True, exist_ok=True)
    assert len(load_prompts("advbench" if write(place, good) else "")) == 2


def test_the_docs_state_every_pin() -> None:
    text = DOCS.read_text("utf-8")
    for name, files in BENCHMARKS.items():
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{name}`"))
        assert all(url in row and digest[:8] in row for url, digest in files.items())


@pytest.mark.parametrize(
    ("name", "source", "counts", "categories"),
    [
        ("advbench", "advbench/advbench.csv", (520, 0, 0), 0),
        ("strongreject", "strongreject/strongreject.csv", (313, 0, 0), 6),
        ("xstest", "xstest/xstest_prompts.csv", (200, 250, 0), 8),
        ("", "selfinstruct_seed/seed_tasks_flat.json", (0, 0, 175), 0),
    ],
)
def test_published_files(name: str, source: str, counts: tuple[int, int, int], categories: int) -> None:
    if not (SHARED / source).exists():
        pytest.skip(f"the benchmark file {source} is not here; it is not part of the package")
    prompts = load_prompts(SHARED / source)
    assert (len(prompts.harmful), len(prompts.near_twins), len(prompts.far_twins)) == counts
    assert len(prompts.categories) == categories and sum(map(len, prompts.split())) == len(prompts)
    if name:
        assert sha256((SHARED / source).read_bytes()).hexdigest() in BENCHMARKS[name].values()
