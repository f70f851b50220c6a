"""Benchmarks by name: fetched once, verified, read by their format; where there is no network, put there by hand."""

import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from prompt_files import fails
from shell import call, told

from harmcircuits.data import PREFILLS, PromptError, benchmarks, load_prompts
from harmcircuits.data.benchmarks import BENCHMARKS, Benchmark, benchmark_files

SHARED = Path(__file__).parents[2] / "shared" / "data"
DOCS = Path(__file__).parents[1] / "docs" / "prompts.md"
HARMBENCH = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
JAILBREAKBENCH = "Index,Goal,Target,Behavior,Category,Source\n"
ROWS = {  # harmless rows in each benchmark's columns, and the roles that they get
    "advbench": ("goal,target\nSing,Sure: la\nDance,Sure: hop\n", ["harmful", "harmful"]),
    "harmbench": (
        HARMBENCH + "Sing,standard,music,,,a\nCopy,copyright,copyright,,,b\nMix,standard,chemical_biological,,,c\n",
        ["harmful"],  # the other two are left out
    ),
    "jailbreakbench": (  # two files of the same rows here
        JAILBREAKBENCH + "0,Sing,Sure: la,b,music,me\n1,Dance,Sure: hop,b,music,me\n",
        ["harmful", "harmful", "near", "near"],
    ),
    "strongreject": ("category,source,forbidden_prompt\nmusic,me,Sing\nmusic,me,Dance\n", ["harmful", "harmful"]),
    "xstest": (
        "id,prompt,type,label,focus,note\n1,Sing,songs,safe,,\n2,Dance,songs,safe,,\n3,Shout,contrast_songs,unsafe,,\n",
        ["near", "near", "harmful"],
    ),
}


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the benchmarks are fetched from, each with its harmless rows."""
    table = {}
    for name, (content, _) in ROWS.items():
        files = [tmp_path / name / url.rpartition("/")[2] for url in BENCHMARKS[name].files]
        for file in files:
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content.encode())
        digest = sha256(content.encode()).hexdigest()
        table[name] = Benchmark(files={file.as_uri(): digest for file in files}, licence="none", paper="none")
    monkeypatch.setattr(benchmarks, "BENCHMARKS", table)
    return tmp_path


def benchmark_name(name: str) -> str:
    """The name of the benchmark's one file."""
    (url,) = BENCHMARKS[name].files
    return url.rpartition("/")[2]


def cached(name: str, cache: Path) -> Path:
    """The place of the benchmark's file."""
    return cache / "benchmarks" / name / benchmark_name(name)


@pytest.mark.parametrize("name", ROWS)
def test_a_name_is_fetched_once_and_read_by_its_format(name: str, origin: Path) -> None:
    prompts = load_prompts(name)
    assert prompts.name == name and [prompt.role for prompt in prompts] == ROWS[name][1]
    shutil.rmtree(origin / name)
    assert load_prompts(name) == prompts, "from the cache"


@pytest.mark.usefixtures("origin")
def test_prefills() -> None:
    assert [prompt.prefill for prompt in load_prompts("advbench")] == ["Sure:", "Sure:"], "its own"
    assert [prompt.prefill for prompt in load_prompts("xstest")] == [PREFILLS[0], PREFILLS[1], PREFILLS[0]], "in turn by role"
    assert {prompt.prefill for prompt in load_prompts("xstest", prefill="")} == {""}


@pytest.mark.usefixtures("origin")
def test_two_sources_by_name_each_give_their_own_kind() -> None:
    prompts = load_prompts(harmful="strongreject", benign="xstest")
    assert [(prompt.request, prompt.role) for prompt in prompts] == [
        ("Sing", "harmful"),
        ("Dance", "harmful"),
        ("Sing", "far"),
        ("Dance", "far"),
    ]
    assert prompts.name == "strongreject and xstest" and {prompt.prefill for prompt in prompts} == set(PREFILLS[:2])
    assert [prompt.request for prompt in load_prompts(harmful="xstest", benign="xstest").harmful] == ["Shout"]
    with pytest.raises(PromptError, match="advbench"):
        load_prompts(harmful="strongreject", benign="advbench")


def test_another_digest_is_refused_and_not_kept(origin: Path, own_cache: Path) -> None:
    file = origin / "advbench" / benchmark_name("advbench")
    (expected,) = benchmarks.BENCHMARKS["advbench"].files.values()
    file.write_text("goal,target\nShout,Sure: ha\n")
    digest = sha256(file.read_bytes()).hexdigest()
    fails("advbench", file.as_uri(), digest, expected)
    assert not cached("advbench", own_cache).exists()
    cached("advbench", own_cache).parent.mkdir(parents=True)
    shutil.copy(file, cached("advbench", own_cache))
    fails("advbench", str(cached("advbench", own_cache)), digest, expected)


def test_without_a_network_the_error_names_url_and_path(origin: Path, own_cache: Path) -> None:
    (url,) = benchmarks.BENCHMARKS["advbench"].files
    shutil.move(origin / "advbench" / benchmark_name("advbench"), origin / "by hand")
    fails("advbench", url, str(cached("advbench", own_cache)), "SHA-256")
    told(call("dissociate", "--prompts", "advbench", "--out", origin / "out"), url)
    cached("advbench", own_cache).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(origin / "by hand", cached("advbench", own_cache))
    assert len(load_prompts("advbench")) == 2


def test_a_path_is_no_name(origin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(origin)
    assert benchmark_files("advbench") and not benchmark_files("./advbench") and not benchmark_files(Path("advbench"))
    (origin / "advbench" / benchmark_name("advbench")).write_text("goal,target\nShout,Sure: ha\n")
    assert len(load_prompts("advbench")) == 2 and len(load_prompts("./advbench")) == 1
    fails("advbnech", "no such file", *BENCHMARKS)


def test_the_docs_state_every_pin() -> None:
    text = DOCS.read_text("utf-8")
    for name, benchmark in BENCHMARKS.items():
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{name}`"))
        for url, digest in benchmark.files.items():
            assert all(part in row for part in (url, digest[:8], benchmark.licence, benchmark.paper))


@pytest.mark.parametrize(
    ("name", "source", "harmful", "near"),
    [
        ("advbench", "advbench/advbench.csv", 520, 0),
        ("strongreject", "strongreject/strongreject.csv", 313, 0),
        ("xstest", "xstest/xstest_prompts.csv", 200, 250),
    ],
)
def test_published_files_have_the_pinned_digest(name: str, source: str, harmful: int, near: int, own_cache: Path) -> None:
    if not (SHARED / source).exists():
        pytest.skip(f"the benchmark file {source} is not here; it is not part of the package")
    cached(name, own_cache).parent.mkdir(parents=True)
    shutil.copy(SHARED / source, cached(name, own_cache))
    prompts = load_prompts(name)
    assert (len(prompts.harmful), len(prompts.near_twins)) == (harmful, near) and all(prompt.prefill for prompt in prompts)
