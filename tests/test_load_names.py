"""What `load_model` says of names, folders and hub ids that it cannot load, and when it asks the hub."""

import re

import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors import SafetensorError

from harmcircuits.models import hub, load
from harmcircuits.models.aliases import DEFAULT
from harmcircuits.models.fetch import LoadError
from harmcircuits.models.load import load_model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smollm2-135m-instuct", r"unknown\. Did you mean 'smollm2-135m-instruct'\?"),
        ("smollm2", r"unknown\. Did you mean 'smollm2-135m-instruct'\?"),
        ("./nowhere", "no such file or folder"),
        ("a/b/c", "no such file or folder"),
        ("model.gguf", "no such file or folder"),
    ],
)
def test_names_that_mean_nothing(name, message):
    with pytest.raises(LoadError, match=message) as caught:
        load_model(name)
    text = str(caught.value)
    assert DEFAULT in text and "HuggingFaceTB/SmolLM2-135M-Instruct" in text and ".gguf" in text and "folder" in text


def test_a_folder_that_is_no_model(tmp_path, folder):
    with pytest.raises(LoadError, match=r"has no config\.json"):
        load_model(tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(LoadError, match="'model': not a complete transformers folder"):
        load_model(folder)


@pytest.mark.parametrize(
    ("name", "length", "message"),
    [
        ("model.safetensors", 1000, r"a file of its weights in {} is damaged or cut short .*Copy or download the folder again"),
        ("model.safetensors", 0, r"a file of its weights in {} is damaged or cut short"),
        ("tokenizer.json", 100, r"a file of its configuration or tokenizer in {} is damaged or cut short .*Copy or download"),
        ("config.json", 100, r"'model': not a complete transformers folder \(.*{}.*JSON"),
    ],
)
def test_a_folder_with_a_file_that_is_cut_short(folder, name, length, message):
    (folder / name).write_bytes((folder / name).read_bytes()[:length])
    with pytest.raises(LoadError, match=message.format(re.escape(str(folder)))):
        load_model(folder, device="cpu")


def test_a_damaged_file_in_the_hub_s_local_cache_is_downloaded_again(monkeypatch):
    def boot(place, **options):
        raise SafetensorError("header too small")

    monkeypatch.setattr(load.TransformerBridge, "boot_transformers", boot)
    with pytest.raises(LoadError, match=r"local cache is damaged .*`hf download someone/model --force-download`"):
        load_model("someone/model", device="cpu")


def hub_error(kind):
    """An OSError as transformers raises it, with the hub's own error as its cause."""
    error = OSError("see https://user:secret@mirror.example/models")
    error.__cause__ = kind.__new__(kind)
    return error


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("gpt2-tiny", hub_error(RepositoryNotFoundError), "no such model"),
        ("someone/model", hub_error(GatedRepoError), "accept its licence"),
        ("someone/model", hub_error(LocalEntryNotFoundError), r"network, or run `hf download someone/model"),
        ("someone/model", OSError("no weights"), "no complete transformers model"),
        ("someone/smollm2-135m-instruct", hub_error(RepositoryNotFoundError), "no such model"),
        ("someone/model", ValueError("needs trust_remote_code=True"), "never run.*pass hf_model="),
        ("someone/model", ValueError("Could not determine supported architecture"), "lacks its architecture"),
    ],
)
def test_a_hub_id_that_cannot_be_loaded(monkeypatch, tmp_path, name, error, message):
    asked = {}

    def boot(place, **options):
        asked.update(options, place=place)
        raise error

    monkeypatch.setattr(load.TransformerBridge, "boot_transformers", boot)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url: None)
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_, **__: str(tmp_path / "none"))
    with pytest.raises(LoadError, match=message) as caught:
        load_model(name, revision="v1")
    assert asked["place"] == name and asked["revision"] == "v1" and not asked.get("trust_remote_code")
    assert name in str(caught.value) and "secret" not in str(caught.value)


def connect_error(module):
    """The error of an HTTP library when there is no network."""
    return getattr(pytest.importorskip(module), "ConnectError", None) or pytest.importorskip(module).ConnectionError


@pytest.mark.parametrize("module", ["httpx2", "httpx", "requests"])
def test_without_a_network_a_hub_id_is_asked_for_once_and_quietly(monkeypatch, caplog, capfd, module):
    asked = []

    def fail(url, **options):
        asked.append(url)
        raise connect_error(module)("Name or service not known: https://user:secret@mirror.example")

    monkeypatch.setattr(hub, "get_hf_file_metadata", fail)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(load.TransformerBridge, "boot_transformers", lambda *_, **__: pytest.fail("asked again"))
    with pytest.raises(LoadError, match=r"hub cannot be reached.*`hf download org/nothing-here.*load_model takes") as caught:
        load_model("org/nothing-here", revision="v1")
    assert len(asked) == 1 and asked[0].endswith("/org/nothing-here/resolve/v1/config.json")
    assert "secret" not in str(caught.value)
    assert not caplog.text and "".join(capfd.readouterr()) == ""


def test_a_model_in_the_hub_s_local_cache_needs_no_hub(folder, monkeypatch):
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: str(folder / "config.json"))
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url: pytest.fail("the hub was asked"))
    hub.check_reachable("org/nothing-here", None)


def test_offline_a_hub_id_says_so(monkeypatch):
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(LoadError, match="HF_HUB_OFFLINE is set: unset it, or run `hf download org/nothing-here"):
        load_model("org/nothing-here")


def test_the_system_s_own_errors_pass(folder, monkeypatch):
    def boot(place, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(load.TransformerBridge, "boot_transformers", boot)
    with pytest.raises(OSError, match="No space left"):
        load_model(folder)
