"""`load_model` on GGUF files: the weights they were made from, dequantised once, and made again when damaged."""

import os

import numpy as np
import pytest
import torch
from comparisons import TOKENS, close
from tiny import SPECIAL, tiny_model, tiny_tokenizer
from tiny_gguf import rounded, write_gguf

from harmcircuits import store
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models import packaged
from harmcircuits.models.load import load_model

pytestmark = pytest.mark.model


@pytest.mark.parametrize("quantised", [False, True])
def test_a_gguf_file_gives_the_weights_it_was_made_from(tmp_path, hooked, quantised):
    original = tiny_model(rope_parameters={"rope_type": "default", "rope_theta": 5000.0})
    path = write_gguf(tmp_path / "tiny.gguf", original, tiny_tokenizer(), quantised=quantised)
    model = load_model(path, device="cpu", hooked=hooked)
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
    monkeypatch.setattr(packaged, "_dequantise", None)  # a second dequantisation would fail
    assert torch.equal(load_model(path, device="cpu")(TOKENS), logits)
    (made,) = (path for path in (store.cache_dir() / "models").iterdir() if path.is_dir())
    assert len({file.stat().st_mode for file in made.iterdir()}) == 1  # no file is for its owner alone


def test_smollm_files_split_digits_first_and_others_do_not(tmp_path):
    for pre, expected in (("smollm", ["ĊĊ", "1", "2"]), ("gpt-2", ["Ċ", "Ċ", "12"])):
        path = write_gguf(tmp_path / f"{pre}.gguf", tiny_model(), tiny_tokenizer(), pre=pre)
        split = load_model(path, device="cpu").tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("\n\n12")
        assert [piece for piece, _ in split] == expected


def test_files_that_are_no_gguf(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"<html>not found</html>")
    with pytest.raises(HarmcircuitsError, match=r"a\.gguf: not a GGUF file"):
        load_model(tmp_path / "a.gguf")
    whole = write_gguf(tmp_path / "b.gguf", tiny_model(), tiny_tokenizer())
    layers = b"llama.block_count" + (4).to_bytes(4, "little") + (2).to_bytes(4, "little")
    (tmp_path / "c.gguf").write_bytes(whole.read_bytes().replace(layers, layers[:-1] + b"\x40"))
    with pytest.raises(HarmcircuitsError, match=r"c\.gguf: llama\.block_count counts more layers than it has tensors"):
        load_model(tmp_path / "c.gguf")
    os.truncate(whole, whole.stat().st_size // 2)
    with pytest.raises(HarmcircuitsError, match=r"b\.gguf cannot be loaded"):
        load_model(whole)
    assert not [path for path in (store.cache_dir() / "models").iterdir() if path.is_dir()]
