"""Weights that are pickles: refused by their names, before anything of them is opened, wherever a model is read from."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors.torch import load_file
from shell import call
from tiny import tiny_model_folder
from transformers import AutoModelForCausalLM

from harmcircuits import cli
from harmcircuits.judges import JudgeError
from harmcircuits.judges.loading import JudgeModel
from harmcircuits.models import hub, load
from harmcircuits.models.fetch import LoadError
from harmcircuits.models.load import load_model
from harmcircuits.models.pickles import unsafe_weights

SAFE, UNSAFE = "model.safetensors", "pytorch_model.bin"
CURE = r"which are not loaded, since a pickle can run code.*save_pretrained writes safetensors\), and give that folder"


class Opened(Exception):
    """Somebody began to read a pickle."""


class Hostile:
    """What makes the empty file `ran` when it is read as pickles are."""

    def __init__(self, ran: Path) -> None:
        self.ran = ran

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.ran), "w")


def to_pickle(folder: Path, name: str = UNSAFE) -> None:
    """The weights as a pickle in the place of safetensors."""
    torch.save(load_file(folder / SAFE), folder / name)
    (folder / SAFE).unlink()


def to_shards(folder: Path, index: str) -> None:
    """The same as one shard that an index names."""
    names = list(load_file(folder / SAFE))
    to_pickle(folder, "weights-00001-of-00001.bin")
    (folder / index).write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, "weights-00001-of-00001.bin")})
    )


def beside(folder: Path) -> None:
    """Safetensors of something else beside the pickle."""
    shutil.copy(folder / SAFE, folder / "optimizer.safetensors")
    to_pickle(folder)


def named(folder: Path) -> None:
    """A configuration that names a pickle, though the folder has safetensors."""
    torch.save(load_file(folder / SAFE), folder / "adapter_model.bin")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": "adapter_model.bin"}))


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pickle alone": (to_pickle, UNSAFE),
    "shards of pickles": (lambda folder: to_shards(folder, f"{UNSAFE}.index.json"), f"{UNSAFE}.index.json"),
    "an index of safetensors that names a pickle": (
        lambda folder: to_shards(folder, f"{SAFE}.index.json"),
        "weights-00001-of-00001.bin",
    ),
    "other safetensors beside it": (beside, UNSAFE),
    "named by the configuration": (named, "adapter_model.bin"),
}


def outside(folder: Path, index: str, name: str) -> None:
    """Safetensors somewhere else, which the folder names."""
    (folder / SAFE).rename(folder.parent / "outside.safetensors")
    names = list(load_file(folder.parent / "outside.safetensors"))
    if index:
        (folder / index).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, name)}))
    else:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": name}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("whole") / "model", n_layers=1)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*given: object, **options: object) -> None:
        raise Opened

    monkeypatch.setattr(torch, "load", opened)


def on_hub(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder as a hub's repository in the local cache; its id."""
    commit = "0" * 40
    repository = cache / "models--lab--model"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return "lab/model"


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("case", CASES)
class TestRefused:
    @pytest.fixture
    def folder(self, whole: Path, tmp_path: Path, case: str) -> Path:
        own = shutil.copytree(whole, tmp_path / "model")
        CASES[case][0](own)
        return own

    def test_transformers_would_open_it(self, folder: Path) -> None:
        with pytest.raises(Opened):
            AutoModelForCausalLM.from_pretrained(folder)

    def test_in_a_folder(self, folder: Path, case: str) -> None:
        with pytest.raises(LoadError, match=rf"{folder}: its weights are pickles \({CASES[case][1]}\), {CURE}"):
            load_model(folder, device="cpu")

    def test_in_a_hub_s_local_cache(self, folder: Path, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
        name = on_hub(folder, tmp_path / "hub", monkeypatch)
        with pytest.raises(LoadError, match=rf"'lab/model': its weights are pickles \({CASES[case][1]}\), {CURE}"):
            load_model(name, device="cpu")

    def test_by_a_judge(self, folder: Path, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for place in (folder, on_hub(folder, tmp_path / "hub", monkeypatch)):
            judge = JudgeModel(place)
            with pytest.raises(JudgeError, match=rf"the judge .* its weights are pickles \({CASES[case][1]}\), {CURE}"):
                _ = judge.model


class TestOnline:
    """A hub that is asked for names alone."""

    @pytest.fixture
    def files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
        """What the repository has, of which it gives the configuration alone."""
        files = {"config.json"}
        (tmp_path / "config.json").write_text('{"model_type": "llama"}', "utf-8")

        def metadata(url: str) -> None:
            if url.rpartition("/")[2] not in files:
                raise RemoteEntryNotFoundError.__new__(RemoteEntryNotFoundError)

        def download(_: str, name: str, **__: Any) -> str:
            return str(tmp_path / name) if name == "config.json" else raises(OSError("the hub gives no file here"))

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub, "get_hf_file_metadata", metadata)
        monkeypatch.setattr(hub, "hf_hub_download", download)
        monkeypatch.setattr(load.TransformerBridge, "boot_transformers", lambda *_, **__: raises(Opened()))
        return files

    @pytest.mark.parametrize("held", [UNSAFE, f"{UNSAFE}.index.json", "adapter_model.bin"])
    def test_pickles_are_refused_before_any_weight_is_fetched(
        self, files: set[str], held: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def download(_: str, name: str, **__: Any) -> str:
            return raises(OSError("not now")) if name.endswith(".json") else pytest.fail(f"{name} was fetched")

        monkeypatch.setattr(hub, "hf_hub_download", download)
        files |= {held, "adapter_config.json"}
        with pytest.raises(LoadError, match=rf"'lab/model': its weights are pickles \({held}\), {CURE}"):
            load_model("lab/model", device="cpu", revision="v1")

    @pytest.mark.parametrize(
        "held",
        [
            {SAFE, UNSAFE},
            {f"{SAFE}.index.json", UNSAFE},
            {SAFE, "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"},
            set(),
        ],
    )
    def test_what_has_safetensors_is_loaded(self, files: set[str], held: set[str]) -> None:
        files |= held
        with pytest.raises(Opened):
            load_model("lab/model", device="cpu", revision="v1")

    def test_without_an_answer_the_loading_tells_what_is_wrong(self, files: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
        files |= {UNSAFE}
        monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url: raises(ConnectionError("no route")))
        assert unsafe_weights("lab/model") == "" and not hub.holds("lab/model", UNSAFE, None)
        monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url: raises(ZeroDivisionError()))
        with pytest.raises(ZeroDivisionError):
            unsafe_weights("lab/model")


def raises(error: Exception) -> Any:
    raise error


def test_safetensors_from_a_hub_s_local_cache_are_loaded(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own := shutil.copytree(whole, tmp_path / "model")).joinpath(UNSAFE).write_bytes(b"no pickle that anybody reads")
    assert load_model(on_hub(own, tmp_path / "hub", monkeypatch), device="cpu").cfg.n_layers == 1


@pytest.mark.parametrize("damage", ['{"weight_map": ["x.bin"]}', "[]", "{}", "{", '{"a":' * 10**5])
def test_a_damaged_index_is_left_to_the_loading(whole: Path, tmp_path: Path, damage: str) -> None:
    own = shutil.copytree(whole, tmp_path / "model")
    (own / SAFE).unlink()
    (own / f"{SAFE}.index.json").write_text(damage)
    assert unsafe_weights(own) == "" == unsafe_weights(tmp_path / "none")


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.ckpt", "model.bin", "model.npz", "model.pkl"])
def test_a_file_that_is_a_pickle_is_no_model(tmp_path: Path, name: str) -> None:
    path, ran = tmp_path / name, tmp_path / "ran"
    path.write_bytes(pickle.dumps(Hostile(ran)))
    pickle.loads(path.read_bytes()).close()  # noqa: S301 (our own)
    assert ran.exists(), "and so it could be seen below"
    ran.unlink()
    with pytest.raises(LoadError, match="not a GGUF file"):
        load_model(path, device="cpu")
    assert not ran.exists()


@pytest.mark.usefixtures("watched")
def test_a_learnt_prompt_that_names_a_pickle_is_refused_unopened(whole: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    adapter = tmp_path / "adapter"
    peft.MultitaskPromptTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=2,
        prompt_tuning_init="EXACT_SOURCE_TASK",
        prompt_tuning_init_state_dict_path=str(tmp_path / "start.bin"),
        base_model_name_or_path=str(whole),
    ).save_pretrained(adapter)
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(Opened):
        peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(whole), adapter)
    with pytest.raises(LoadError, match="adapters of this kind change no weights"):
        load_model(adapter, device="cpu")


@pytest.mark.parametrize("index", [f"{SAFE}.index.json", ""], ids=["in an index", "in the configuration"])
@pytest.mark.parametrize("absolute", [False, True])
def test_weights_outside_the_folder_are_not_loaded(whole: Path, tmp_path: Path, index: str, absolute: bool) -> None:
    own = shutil.copytree(whole, tmp_path / "model")
    outside(own, index, str(tmp_path / "outside.safetensors") if absolute else "../outside.safetensors")
    with pytest.raises(
        LoadError, match=r"names weights outside its own folder \(.*outside.safetensors\), which are not loaded"
    ):
        load_model(own, device="cpu")


def test_a_shard_s_name_moves_no_cursor(whole: Path, tmp_path: Path) -> None:
    own = shutil.copytree(whole, tmp_path / "model")
    outside(own, f"{SAFE}.index.json", "x\x1b]0;owned\x07\x1b[2J.bin")
    result = call("dissociate", "--model", own, "--out", tmp_path / "out")
    assert result.exit_code == 1 and r"x\x1b]0;owned\x07\x1b[2J.bin" in result.output
    assert not any(code in result.output for code in ("\x07", "\x1b]0", "\x1b[2J"))


def test_no_error_of_ours_moves_the_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever file its words are from."""

    def fail(*_: object) -> None:
        raise LoadError("first\n\x1b[2Jsecond")

    monkeypatch.setattr(cli.shared, "load", fail)
    result = call("dissociate", "--out", tmp_path / "out")
    assert result.exit_code == 1 and "error: first\n\\x1b[2Jsecond" in result.output and "\x1b[2J" not in result.output
