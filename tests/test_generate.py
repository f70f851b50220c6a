"""Writing under an ablation: in the weights by transformers' own generation, and by hooks."""

import families as layouts
import pytest
import torch
from written import PROMPTS

from harmcircuits.ablation.ablate import ablated
from harmcircuits.ablation.generate import generate
from harmcircuits.circuits import Circuit, outgoing
from harmcircuits.data import chat_frame
from harmcircuits.data.elicit import elicit
from harmcircuits.data.examples import prompt_ids
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.export import plain_model
from harmcircuits.models.protocol import neuron_hook

CIRCUIT = Circuit(heads=[(0, 1), (1, 3)], neurons=[(0, 3), (1, 9), (1, 60)])
OTHER = Circuit(heads=[(0, 0)], neurons=[(0, 4)])
TOKENS = torch.arange(5, 65).reshape(2, 30)
OPTIONS = {"max_new_tokens": 12, "seed": 3}


def ids(examples):
    return [example.response_ids for example in examples]


def by_hooks(model, prompts, circuit, **options):
    with ablated(model, circuit):
        return ids(elicit(model, prompts, cache=False, **OPTIONS | options))


# one circuit


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("what", ["nothing", "circuit", "mask", "both"])
def test_in_the_weights_and_by_hooks_the_same_is_written(tiny, what, temperature):
    circuit = {
        "nothing": None, "circuit": CIRCUIT, "mask": outgoing(tiny, CIRCUIT), "both": [outgoing(tiny, CIRCUIT), OTHER],
    }[what]  # fmt: skip
    found = generate(tiny, PROMPTS, circuit, temperature=temperature, **OPTIONS)
    assert ids(found) == by_hooks(tiny, PROMPTS, circuit, temperature=temperature)
    assert [example.request for example in found] == [prompt.request for prompt in PROMPTS]


def test_the_ablation_matters_and_leaves_no_trace(tiny):
    before = {name: parameter.clone() for name, parameter in tiny.named_parameters()}
    assert ids(generate(tiny, PROMPTS, CIRCUIT, **OPTIONS)) != ids(generate(tiny, PROMPTS, **OPTIONS))
    assert all(torch.equal(parameter, before[name]) for name, parameter in tiny.named_parameters())
    assert not any(point.fwd_hooks for point in tiny.hook_dict.values())


def test_with_a_cache_and_without_the_same_is_written(tiny):
    """Against whole passes under hooks, one row at a time, nothing kept between tokens."""
    frame = chat_frame(tiny)
    for prompt, example in zip(PROMPTS, generate(tiny, PROMPTS, CIRCUIT, max_new_tokens=8, temperature=0), strict=True):
        tokens = prompt_ids(tiny, frame, prompt.request, prompt.prefill)
        start = len(tokens)
        with torch.no_grad(), ablated(tiny, CIRCUIT):
            while len(tokens) < start + 8 and (len(tokens) == start or tokens[-1] not in frame.stops):
                tokens.append(int(tiny(torch.tensor([tokens]), return_type="logits")[0, -1].argmax()))
        assert list(example.response_ids) == tokens[start:]


def test_scaled(tiny):
    with ablated(tiny, CIRCUIT, method="scale", alpha=0.5):
        expected = ids(elicit(tiny, PROMPTS, cache=False, **OPTIONS))
    assert ids(generate(tiny, PROMPTS, CIRCUIT, method="scale", alpha=0.5, **OPTIONS)) == expected


def test_hooks_of_yours_are_not_forgotten(tiny):
    with tiny.hooks(fwd_hooks=[(neuron_hook(1), lambda activation, hook: activation * 3)]):
        assert ids(generate(tiny, PROMPTS, CIRCUIT, **OPTIONS)) == by_hooks(tiny, PROMPTS, CIRCUIT)
        assert ids(generate(tiny, PROMPTS, CIRCUIT, **OPTIONS)) != by_hooks(tiny, PROMPTS, OTHER)


# the transformers model inside


@pytest.mark.model
@pytest.mark.parametrize("name", layouts.MODELS)
@pytest.mark.parametrize("what", ["intact", "ablated"])
def test_a_plain_model_is_the_bridge_in_every_layout(name, what):
    hf_model = layouts.random_model(name)
    bridge = layouts.bridge_around(name, hf_model)
    with torch.no_grad(), ablated(bridge, CIRCUIT if what == "ablated" else None):
        expected = bridge(TOKENS, return_type="logits")
    with torch.no_grad(), ablated(bridge, outgoing(bridge, CIRCUIT if what == "ablated" else Circuit())):
        assert (bridge(TOKENS, return_type="logits") - expected).abs().max() <= 1e-5
        assert (plain_model(bridge)(TOKENS).logits - expected).abs().max() <= 1e-5
        assert (plain_model(bridge, attention="sdpa")(TOKENS).logits - expected).abs().max() <= 2e-4
    with torch.no_grad():
        assert ((hf_model(TOKENS).logits - expected).abs().max() <= 1e-5) == (what == "intact")
    assert ids(generate(bridge, PROMPTS, CIRCUIT, **OPTIONS)) == by_hooks(bridge, PROMPTS, CIRCUIT)


@pytest.mark.model
def test_fused_matrices_that_were_trained_are_not_guessed():
    name = "pythia"  # whose query, key and value matrices are copies in a bridge, where others' are views
    bridge = layouts.bridge_around(name, layouts.random_model(name))
    with torch.no_grad():
        for key, parameter in bridge.named_parameters():
            if ".attention.q." in key or ".attention.k." in key:
                parameter.add_(1)
    with pytest.raises(HarmcircuitsError, match=r"query_key_value\.weight: more than half of q, k, v"):
        plain_model(bridge)


# errors


def test_what_cannot_be_generated(tiny):
    with pytest.raises(HarmcircuitsError, match="method='mean' cannot be put into weights"):
        generate(tiny, PROMPTS, CIRCUIT, method="mean")
    with pytest.raises(HarmcircuitsError, match="no prompts"):
        generate(tiny, [], CIRCUIT)
    with pytest.raises(HarmcircuitsError, match="max_new_tokens must be at least 1"):
        generate(tiny, PROMPTS, CIRCUIT, max_new_tokens=0)
