"""A model whose layers lie on several devices. There is one here: modules that accelerate moves tensors for, and `meta`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import dispatch_model
from tiny import tiny_bridge, tiny_model, tiny_tokenizer
from triples import OWN
from written import written

import harmcircuits as hc
from harmcircuits.attribution import weight_gradients as scored
from harmcircuits.models.protocol import on_several_devices

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")


def test_a_model_on_several_devices_is_known() -> None:
    model = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2, device=ELSEWHERE)])
    assert on_several_devices(model) and not on_several_devices(model[0])


def test_accumulators_lie_beside_their_matrices() -> None:
    block: Any = [SimpleNamespace(name=str(at), shape=(2, 3), parameter=torch.empty(0, device=at)) for at in (CPU, ELSEWHERE)]
    beside = scored.empty_sums(block, 1, signed=True, absolute=False)
    assert [total.device for total in beside.signed.values()] == [CPU, ELSEWHERE]
    assert not beside.absolute


def test_a_model_dispatched_by_accelerate_gives_the_same(tmp_path: Path) -> None:
    """Every module has accelerate's hooks, as with `device_map` on several GPUs; all of them lead to the CPU."""
    names = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm", "model.rotary_emb", "lm_head")
    hf_model = dispatch_model(tiny_model(), device_map=dict.fromkeys(names, "cpu"), force_hooks=True)
    assert hasattr(hf_model.model.layers[0], "_hf_hook") and hf_model.hf_device_map
    model, plain = hc.load_model("tiny", hf_model=hf_model, tokenizer=tiny_tokenizer()), tiny_bridge(tmp_path)
    examples = written(plain.tokenizer)
    assert torch.equal(hc.loss(model, examples), hc.loss(plain, examples))
    one, other = hc.attribute(model, examples), hc.attribute(plain, examples)
    torch.testing.assert_close(one.per_example_heads, other.per_example_heads, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one.per_example_neurons, other.per_example_neurons, rtol=1e-5, atol=1e-6)
    ours, theirs = (hc.attribute_weights(each, examples).signed for each in (model, plain))
    assert ours.keys() == theirs.keys()
    for name, scores in ours.items():
        torch.testing.assert_close(scores, theirs[name], rtol=1e-4, atol=1e-6)
    prompts = [hc.Prompt(request=example.request) for example in examples]
    how = {"max_new_tokens": 5, "temperature": 0}
    assert hc.generate(model, prompts, OWN, **how) == hc.generate(plain, prompts, OWN, **how)
