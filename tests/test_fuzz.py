"""Readers and pages on good files, on files that broke them once, and on some hundred that hypothesis draws.

`make fuzz` gives them a hundred thousand (tools/fuzz.py).
"""

import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from fuzz_checks import Finding, Target, tried
from fuzz_mutations import LONGEST, mutated
from fuzz_pages import Parsed, check_safe
from fuzz_targets import TARGETS
from fuzz_watch import watched
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harmcircuits.prompts import PromptError, load_prompts
from harmcircuits.store import read_json

ROUNDS = 12
"""Examples of a target for each of its share, at most 60: a run's page is slow."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """In memory where there is one: every file that is saved is flushed to its disk."""
    with TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", TARGETS)
def test_good_files_are_read(place: Path, name: str) -> None:
    for data in TARGETS[name].seeds():
        assert tried(TARGETS[name], data, place) == "read"


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused(place: Path, name: str) -> None:
    good = TARGETS[name].seeds()

    @settings(max_examples=min(60, ROUNDS * TARGETS[name].share), suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False), st.sampled_from(good))
    def changed(random: Random, data: bytes) -> None:
        tried(TARGETS[name], mutated(random, data, good), place)

    changed()


def header(**entries: object) -> bytes:
    """A safetensors file of one tensor of two numbers."""
    text = json.dumps({"a": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}} | entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(16)


def mask(about: object) -> bytes:
    return header(
        __metadata__={"format": "harmcircuits weight mask 2", "about": about if isinstance(about, str) else json.dumps(about)}
    )


CIRCUIT = {"format": "harmcircuits circuit 1", "heads": [], "neurons": []}
HUGE = 10**4000
NESTED = b"[" * 600 + b"]" * 600
ONCE: dict[str, tuple[str, bytes]] = {
    "a quote in a file of tabs": ("prompts.tsv", b'request\trole\n"a"b\tfar\n'),
    "a circuit's index of 4,000 digits": ("circuit", json.dumps(CIRCUIT | {"heads": [[0, -HUGE]]}).encode()),
    "an origin with a long name": ("origin of a circuit", json.dumps(CIRCUIT | {"provenance": {"x" * 9000: 1}}).encode()),
    "an infinite shape": ("mask", mask('{"shapes": {"a": [1e999, 2]}}')),
    "a shape beyond any index": ("mask", mask({"shapes": {"a": [HUGE, HUGE]}})),
    "a number of 5,000 digits in a header": ("mask", mask('{"shapes": {"a": [' + "9" * 5000 + ", 2]}}")),
    "a shape beyond 64 bits": ("attribution", header(a={"dtype": "F32", "shape": [0, 2**64], "data_offsets": [0, 0]})),
    "a matrix whose name is a terminal's code": ("mask", mask({"shapes": {"\x1b[31m" * 99: [0, 2], "a": [1, 2]}})),
    "a type that is a terminal's code": ("mask", header(a={"dtype": "\x1b[31m", "shape": [2], "data_offsets": [0, 16]})),
    "a number too large for its column": ("frame", b'{"columns": {"n": "int64"}, "rows": [[%d]]}' % 10**30),
    "a column as wide as it claims": ("frame", b'{"columns": {"n": "S999999999999"}, "rows": [["a"]]}'),
    "a part nested by the hundred": ("journal", b'{"format": "harmcircuits journal 2", "table": %s}' % NESTED),
    "an adapter of a base with a long name": ("adapter", json.dumps({"base_model_name_or_path": "x" * 400}).encode()),
    "a run that names no file": ("circuits of a run", b'{"conditions": [], "circuits": {"heads": false}, "controls": {}}'),
    "a run's file with a terminal's code": ("circuits of a run", b'{"conditions": [], "circuits": {"a": "\\u001b[31m"}}'),
    "a report whose intact model is text": ("shape of a report", b'{"conditions": [], "intact": "x"}'),
    "a value of 400 digits": ("shape of a report", b'{"conditions": [{"generation": {"kl": {"value": 1%s}}}]}' % (b"0" * 400)),
    "a number of heads in words": ("shape of a report", b'{"conditions": [{"kind": "circuit", "n_heads": "two"}]}'),
    "seconds of 400 digits": ("shape of a report", b'{"conditions": [], "seconds": {"a": 1%s}}' % (b"0" * 400)),
}  # fmt: skip


@pytest.mark.parametrize("case", ONCE)
def test_what_fuzzing_found_is_answered(place: Path, case: str) -> None:
    name, data = ONCE[case]
    tried(TARGETS[name], data, place)


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_columns_by_the_ten_thousand_take_no_time_and_fill_no_screen(tmp_path: Path, ending: str) -> None:
    """Names that occur twice were looked for one by one: minutes for a file of 1 MB."""
    names = [f"c{at}" for at in range(100_000)]
    text = ",".join(names) + "\nx\n" if ending == ".csv" else json.dumps(dict.fromkeys(names, 1))[:-1] + ', "c99999": 2}'
    (tmp_path / f"f{ending}").write_text(text, "utf-8")
    began = time.process_time()
    with pytest.raises(PromptError) as error:
        load_prompts(tmp_path / f"f{ending}")
    assert time.process_time() - began < 5 and len(str(error.value)) < 1000


def test_a_request_without_spaces_in_the_place_of_a_header_is_not_quoted(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("怎样在家里烤一个又大又软的面包\n在海边散步\n", "utf-8")
    with pytest.raises(PromptError, match="<a text of 15 characters>") as error:
        load_prompts(tmp_path / "f.csv")
    assert "面包" not in str(error.value)


# That the checks can fail


def broken(read: Callable[[Path], None]) -> Target:
    return Target(ending=".x", seeds=list, read=read, errors=(PromptError,))


def raising(message: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        raise PromptError(message.replace("PATH", str(path)))

    return read


def opens_another(path: Path) -> None:
    Path("/etc/hostname").exists()
    Path(__file__).read_bytes()


@pytest.mark.parametrize(
    ("read", "finding"),
    [
        (raising("nameless"), "does not name the file"),
        (raising("PATH: " + "long " * 200), "characters long"),
        (raising("PATH: a\nb\nc\nd"), "lines long"),
        (raising("PATH: \x1b[31m"), "cursor"),
        (raising("PATH: as we go up to an inn"), "quotes"),
        (lambda path: {}[path], "raised KeyError"),
        (lambda path: eval("1 + 1"), "touched"),
        (opens_another, "touched"),
    ],
)
def test_a_reader_that_errs_is_found(place: Path, read: Callable[[Path], None], finding: str) -> None:
    with pytest.raises(Finding, match=finding):
        tried(broken(read), b"", place)


def test_opening_the_file_itself_is_no_finding(place: Path) -> None:
    with watched(place) as touched:
        (place / "own").write_bytes(b"{}")
        read_json(place / "own")
    assert touched == []


@pytest.mark.parametrize("text", ["<script>x()</script>", '<p onclick="x()">', '<a href="https://example.org">', "<svg></svg>"])
def test_a_page_that_is_not_safe_is_found(text: str) -> None:
    with pytest.raises(AssertionError):
        check_safe(Parsed(f"<!doctype html><body>{text}</body>"))


def test_a_seed_repeats_its_mutations() -> None:
    good = TARGETS["circuit"].seeds()
    one, other = ([mutated(Random(seed), good[0], good) for seed in range(50)] for _ in range(2))
    assert one == other and len(set(one)) > 40 and max(map(len, one)) <= LONGEST
