"""Ablation by hooks equals zero rows in the weights, and leaves no trace."""

import plain
import pytest
import torch
from tiny import tiny_bridge, tiny_model, tiny_tokenizer
from transformers import (
    MixtralConfig,
    MixtralForCausalLM,
)

from harmcircuits.ablation.ablate import ablated
from harmcircuits.circuits import Circuit
from harmcircuits.models.load import load_model
from harmcircuits.models.protocol import ModelError, head_hook

TOKENS = torch.arange(5, 65).reshape(2, 30)
ROUNDING = 5e-5
"""Between two ways of computing logits of a few units in float32; it differs by machine and threads."""
HEADS, NEURONS = [(0, 0), (0, 3), (1, 2)], [(0, 0), (0, 31), (1, 63), (1, 7)]
CIRCUITS = {
    "heads": Circuit(heads=HEADS),
    "neurons": Circuit(neurons=NEURONS),
    "both": Circuit(heads=HEADS, neurons=NEURONS),
    "a whole layer": Circuit(heads=[(1, head) for head in range(4)], neurons=[(1, neuron) for neuron in range(64)]),
}


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS, return_type="logits")


def of_transformers(hf_model) -> torch.Tensor:
    with torch.no_grad():
        return hf_model(TOKENS).logits


@pytest.fixture
def seeded():
    """The same random weights and biases each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def hooks_set(model) -> list[tuple[str, int]]:
    return [(name, len(point.fwd_hooks) + len(point.bwd_hooks)) for name, point in sorted(model.hook_dict.items())]


def double(activation, hook):
    return activation * 2


# hooks and weights


@pytest.mark.parametrize("name", CIRCUITS)
def test_hooks_equal_zero_rows_in_the_weights(tiny, name):
    circuit = CIRCUITS[name]
    zeroed = of_transformers(plain.without(tiny_model(), heads=circuit.heads, neurons=circuit.neurons))
    with ablated(tiny, circuit) as same:
        assert same is tiny
        assert (logits(tiny) - zeroed).abs().max() < ROUNDING
    assert (logits(tiny) - zeroed).abs().max() > 0.01


@pytest.mark.model
@pytest.mark.parametrize("n_kv", [1, 4])
def test_however_keys_and_values_are_grouped(tmp_path, n_kv, tiny):
    circuit = CIRCUITS["both"]
    hooked = type(tiny).__name__ == "HookedTransformer"
    model = tiny_bridge(tmp_path / "model", n_kv=n_kv, hooked=hooked)
    zeroed = of_transformers(plain.without(tiny_model(n_kv=n_kv), heads=circuit.heads, neurons=circuit.neurons))
    with ablated(model, circuit):
        assert (logits(model) - zeroed).abs().max() < ROUNDING


# contexts


def test_nested_contexts_are_the_union(tiny):
    one, two = Circuit(heads=HEADS, neurons=NEURONS[:2]), Circuit(heads=[(0, 1)], neurons=NEURONS[1:])
    with ablated(tiny, one | two):
        union = logits(tiny)
    with ablated(tiny, one):
        outer = logits(tiny)
        with ablated(tiny, two):
            assert torch.equal(logits(tiny), union)
        assert torch.equal(logits(tiny), outer), "leaving the inner one leaves the outer one"
    assert not torch.equal(union, outer)


@pytest.mark.parametrize("nothing", [None, Circuit()])
def test_nothing_ablated_is_the_intact_model(tiny, nothing):
    intact = logits(tiny)
    with ablated(tiny, nothing) as model:
        assert torch.equal(logits(model), intact)


def test_the_model_is_as_it_was_also_after_an_exception(tiny):
    intact, hooks = logits(tiny), hooks_set(tiny)
    parameters = {name: parameter.clone() for name, parameter in tiny.named_parameters()}
    with ablated(tiny, CIRCUITS["both"]):
        logits(tiny)
    assert hooks_set(tiny) == hooks
    with pytest.raises(KeyError, match="inside"), ablated(tiny, CIRCUITS["both"]), ablated(tiny, CIRCUITS["heads"]):
        assert hooks_set(tiny) != hooks
        raise KeyError("inside")
    assert hooks_set(tiny) == hooks
    assert torch.equal(logits(tiny), intact)
    assert all(torch.equal(parameter, parameters[name]) for name, parameter in tiny.named_parameters())
    assert {name for name, _ in tiny.named_parameters()} == {*parameters}


@pytest.mark.parametrize("permanent", [True, False])
def test_your_own_hooks_stay(tiny, permanent):
    intact = logits(tiny)
    point = tiny.hook_dict[head_hook(0)]
    point.add_hook(double, is_permanent=permanent)
    try:
        doubled, hooks = logits(tiny), hooks_set(tiny)
        with ablated(tiny, CIRCUITS["both"]):
            assert not torch.equal(logits(tiny), doubled)
        assert hooks_set(tiny) == hooks
        assert torch.equal(logits(tiny), doubled) and not torch.equal(doubled, intact)
    finally:
        point.remove_hooks(including_permanent=True)


# errors


@pytest.mark.model
@pytest.mark.usefixtures("seeded")
def test_experts_have_no_neurons_but_their_layers_have_heads():
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = MixtralConfig(**sizes, intermediate_size=64, num_local_experts=2, vocab_size=512)
    model = load_model("experts", hf_model=MixtralForCausalLM(config).eval(), tokenizer=tiny_tokenizer(), device="cpu")
    message = r"no hook point 'blocks\.1\.mlp\.hook_post'"
    with pytest.raises(ModelError, match=message), ablated(model, Circuit(neurons=[(1, 3)])):
        pass
    intact = logits(model)
    with ablated(model, Circuit(heads=[(1, 3)])):
        assert not torch.equal(logits(model), intact)
