"""Model files that are cut short, lie about lengths or bring code with them: an error with its cause, and nothing runs."""

import ast
import json
import logging
import os
import re
import shutil
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_model, tiny_model_folder, tiny_tokenizer
from tiny_gguf import write_gguf

import harmcircuits
from harmcircuits import store
from harmcircuits.models.complete import weights_told
from harmcircuits.models.fetch import LoadError
from harmcircuits.models.gguf_header import check_header
from harmcircuits.models.load import load_model

WEIGHTS, CONFIG = "model.safetensors", "config.json"
HUGE = 2**62


def field(key: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value


def header(fields: int, *, tensors: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, fields)


class TestGguf:
    @pytest.fixture(scope="class")
    def whole(self, tmp_path_factory: pytest.TempPathFactory) -> bytes:
        path = tmp_path_factory.mktemp("gguf") / "whole.gguf"
        return write_gguf(path, tiny_model(), tiny_tokenizer()).read_bytes()

    def refused(self, path: Path, content: bytes, message: str) -> None:
        path.write_bytes(content)
        with pytest.raises(LoadError, match=message) as caught:
            load_model(path, device="cpu")
        assert f"{path}: transformers" in str(caught.value) and "Download it again if it may be damaged" in str(caught.value)
        assert not [made for made in (store.cache_dir() / "models").glob("[!.]*") if made.is_dir()], "nothing half-made stays"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"GGUF", "its header is cut short or damaged: 4 bytes are announced at byte 4"),
            (header(0)[:8], "cut short or damaged: 8 bytes are announced at byte 8"),
            (header(HUGE), "cut short or damaged: 8 bytes are announced at byte 24"),
            (header(0, tensors=HUGE), "claims 4611686018427387904 tensors, which its 24 bytes cannot hold"),
            (header(1) + struct.pack("<Q", HUGE), "4611686018427387904 bytes are announced at byte 32"),
            (header(1) + field(b"a", 8, struct.pack("<Q", HUGE)), "4611686018427387904 bytes are announced"),
            (header(1) + field(b"a", 9, struct.pack("<IQ", 4, HUGE)), "18446744073709551616 bytes are announced"),
            (header(1) + field(b"a", 9, struct.pack("<IQ", 8, HUGE)), "a list of 4611686018427387904 values of kind 8"),
            (header(1) + field(b"a", 9, struct.pack("<IQ", 9, 1) * 5000), "a list of 1 values of kind 9"),
            (header(1) + field(b"a", 77, b""), "a value of the unknown kind 77"),
            (header(1, tensors=3) + field(b"llama.block_count", 4, struct.pack("<I", 10**9)), "claims 1000000000 layers and"),
            (header(0), "has no `general.architecture`|general.architecture"),
        ],
    )  # fmt: skip
    @pytest.mark.timeout(60)
    def test_a_header_that_lies(self, tmp_path: Path, content: bytes, message: str) -> None:
        self.refused(tmp_path / "a.gguf", content, message)

    def test_a_lie_is_not_allocated(self, tmp_path: Path) -> None:
        (tmp_path / "a.gguf").write_bytes(header(1) + field(b"a", 9, struct.pack("<IQ", 4, HUGE)))
        tracemalloc.start()
        with pytest.raises(ValueError, match="announced"):
            check_header(tmp_path / "a.gguf")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()

    def test_a_whole_file_passes(self, tmp_path: Path, whole: bytes) -> None:
        (tmp_path / "a.gguf").write_bytes(whole)
        check_header(tmp_path / "a.gguf")

    @pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.9999])
    def test_a_file_cut_short(self, tmp_path: Path, whole: bytes, share: float) -> None:
        self.refused(tmp_path / "a.gguf", whole[: int(share * len(whole))], "cannot read this GGUF file")

    def test_a_missing_tensor_is_no_random_numbers(self, tmp_path: Path, whole: bytes) -> None:
        self.refused(
            tmp_path / "a.gguf",
            whole.replace(b"blk.0.ffn_up.weight", b"blk.0.ffn_ux.weight"),
            r"1 weight is in none of its files \(model\.layers\.0\.mlp\.up_proj\.weight\) and would be random numbers",
        )


def reweighed(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def begun(folder: Path, start: bytes) -> None:
    """The file of weights with another beginning."""
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(start + data[len(start) :])


def configured(folder: Path, **settings: object) -> None:
    (folder / CONFIG).write_text(json.dumps(json.loads((folder / CONFIG).read_text()) | settings))


UP = "model.layers.0.mlp.up_proj.weight"
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut short": (lambda folder: os.truncate(folder / WEIGHTS, 1000), "is damaged or cut short.*Copy or download the"),
    "empty": (lambda folder: os.truncate(folder / WEIGHTS, 0), "is damaged or cut short"),
    "a header of 4 exabytes": (lambda folder: begun(folder, struct.pack("<Q", HUGE)), "header too large"),
    "a header longer than the file": (lambda folder: begun(folder, struct.pack("<Q", 10**8)), "is damaged or cut short"),
    "a header of brackets": (lambda folder: begun(folder, struct.pack("<Q", 10**5) + b"[" * 10**5), "is damaged or cut short"),
    "a missing tensor": (
        lambda folder: reweighed(folder, lambda weights: weights.pop(UP)),
        rf"1 weight is in none of its files \({UP}\) and would be random numbers. Are the files in .* complete",
    ),
    "more layers than the configuration has": (
        lambda folder: reweighed(folder, lambda weights: weights.update({UP.replace("0", "1"): torch.zeros(3, 3)})),
        rf"1 weight is of layers that its config.json does not have \({UP.replace('0', '1')}\) and would be left out",
    ),
    "another shape": (
        lambda folder: reweighed(folder, lambda weights: weights.update({UP: torch.zeros(3, 3)})),
        "its weights have other shapes than its config.json says",
    ),
    "a configuration of brackets": (lambda folder: (folder / CONFIG).write_text('{"a":' * 10**5), "damaged or cut short"),
    "a configuration of another kind": (lambda folder: configured(folder, num_hidden_layers="two"), "damaged or cut short"),
    "a tokenizer of another kind": (
        lambda folder: (folder / "tokenizer.json").write_text('{"model": []}'),
        r"configuration or tokenizer in .*own is damaged or changed, or too new.*: .*\)\. Copy or download the folder again",
    ),
    "weights in a pickle": (
        lambda folder: (folder / WEIGHTS).rename(folder / "pytorch_model.bin"),
        r"its weights are pickles \(pytorch_model\.bin\), which are not loaded, since a pickle can run code",
    ),
    "code of its own": (
        lambda folder: configured(folder, model_type="other", auto_map={"AutoConfig": "own.C"}),
        "code from a hub is never run.*pass hf_model= and tokenizer=",
    ),
}  # fmt: skip


class TestFolder:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tiny_model_folder(tmp_path_factory.mktemp("model") / "whole", n_layers=1)

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_what_is_damaged_is_named(self, folder: Path, tmp_path: Path, damage: str) -> None:
        own = shutil.copytree(folder, tmp_path / "own")
        edit, message = DAMAGES[damage]
        (own / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\nclass M: pass\n")
        edit(own)
        with pytest.raises(LoadError, match=message):
            load_model(own, device="cpu")
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"])
    def test_a_value_of_another_kind_is_named_or_of_no_account(self, folder: Path, tmp_path: Path, name: str) -> None:
        own = shutil.copytree(folder, tmp_path / "own")
        whole = json.loads((folder / name).read_text())
        places = [(whole, key) for key in whole] + [(whole["model"], key) for key in whole.get("model", ())]
        refused = 0
        for holder, key in places:
            before = holder[key]
            for holder[key] in (5, "x", [], {"a": 5}):
                (own / name).write_text(json.dumps(whole))
                try:
                    load_model(own, device="cpu")
                except LoadError as error:
                    refused += 1
                    assert str(own) in str(error) or "'own'" in str(error)
                    assert len(str(error)) < 1500, key
            holder[key] = before
        assert refused >= 3

    def test_code_beside_a_known_model_is_left_alone(self, folder: Path, tmp_path: Path) -> None:
        own = shutil.copytree(folder, tmp_path / "own")
        (own / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: pass\nclass M: pass\n")
        configured(own, auto_map={"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"})
        assert load_model(own, device="cpu").cfg.n_layers == 1
        assert not (tmp_path / "ran").exists()

    def test_what_transformers_logs_stays_as_it_was(self, caplog: pytest.LogCaptureFixture) -> None:
        log = logging.getLogger("transformers.modeling_utils")
        before = log.level, list(log.filters)
        with weights_told() as told:
            log.warning(
                "X LOAD REPORT from: here\nKey | Status  |\na.weight | \x1b[31mMISSING\x1b[0m |\nb | UNEXPECTED |\n- MISSING: x"
            )
        assert told.missing == ["a.weight"] and not told.left_out
        assert (log.level, list(log.filters)) == before


# What the package never does, read from its own code

SOURCES = sorted(Path(harmcircuits.__file__).parent.rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
FORBIDDEN_CALLS = {"torch.load", "torch.save", "np.load", "numpy.load", "pd.read_pickle", "eval", "exec", "os.system"}

HUBS = re.compile(r"(Auto\w+|kind)\.from_pretrained")
"""Classes of transformers that look for code beside a model; those of peft and of one architecture don't."""


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def offences(source: str) -> set[str]:
    """What a module must not do: read pickles, run text or a shell, allow a model's own code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.partition(".")[0] in FORBIDDEN_MODULES}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in FORBIDDEN_MODULES:
            found.add(str(node.module))
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            found |= {name} & FORBIDDEN_CALLS
            found |= {"to_pickle"} if name.endswith((".to_pickle", ".read_pickle")) else set()
            if HUBS.fullmatch(name) and "trust_remote_code" not in {keyword.arg for keyword in node.keywords}:
                found.add("trust_remote_code left out")
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg in ("trust_remote_code", "allow_pickle", "shell") and not off:
                    found.add(f"{keyword.arg}=")
    return found


def test_the_package_reads_no_pickle_and_runs_no_foreign_code() -> None:
    assert len(SOURCES) > 200
    assert {str(path): bad for path in SOURCES if (bad := offences(path.read_text("utf-8")))} == {}


def test_archives_are_opened_in_one_place_which_checks_their_digest_first() -> None:
    """`test_fetch` has what it does with one that would fill the disk."""
    archives = re.compile(r"import (zipfile|tarfile|lzma|bz2|zlib)\b|unpack_archive|gzip\.(open|decompress|GzipFile)")
    assert [path.name for path in SOURCES if archives.search(path.read_text("utf-8"))] == ["fetch.py"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", "pickle"),
        ("from yaml import load", "yaml"),
        ("import torch\ntorch.load('x')", "torch.load"),
        ("f(trust_remote_code=True)", "trust_remote_code="),
        ("f(trust_remote_code=asked)", "trust_remote_code="),
        ("AutoTokenizer.from_pretrained(x, **more)", "trust_remote_code left out"),
        ("np.load(x, allow_pickle=True)", "allow_pickle="),
        ("subprocess.run(x, shell=True)", "shell="),
        ("frame.to_pickle(x)", "to_pickle"),
        ("eval(x)", "eval"),
    ],
)
def test_the_reading_of_the_code_sees_what_it_should(source: str, found: str) -> None:
    assert found in offences(source)


def test_the_name_of_a_weight_moves_no_cursor_in_what_transformers_tells() -> None:
    shown: list[str] = []
    handler, log = logging.Handler(), logging.getLogger("transformers.modeling_utils")
    handler.emit = lambda record: shown.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        with weights_told() as told:
            log.warning("name | status\n%s | \x1b[31mUNEXPECTED\x1b[0m", "evil\x1b]0;owned\x07\x1b[2J.weight")
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
    assert not told and shown == ["name | status\nevil\\x1b]0;owned\\x07\\x1b[2J.weight | \x1b[31mUNEXPECTED\x1b[0m"]
