"""Other ablations than zero: scale and mean, of circuits and masks."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from written import written

from harmcircuits.ablation.ablate import AblationError, ablated
from harmcircuits.circuits import Circuit, CircuitError, WeightMask, outgoing
from harmcircuits.data import example_rows, make_batch
from harmcircuits.models.protocol import head_hook, neuron_hook

CIRCUIT = Circuit(heads=[(0, 1), (0, 3), (1, 2)], neurons=[(0, 0), (1, 7), (1, 63)])
LAYERS, HEADS, NEURONS = st.integers(0, 1), st.integers(0, 3), st.integers(0, 63)
circuits = st.builds(
    lambda heads, neurons: Circuit(heads=heads, neurons=neurons),
    st.lists(st.tuples(LAYERS, HEADS), max_size=4),
    st.lists(st.tuples(LAYERS, NEURONS), max_size=6),
)


@torch.no_grad()
def logits(model, examples):
    batch = make_batch(model, example_rows(model, examples))
    return model(batch.tokens, attention_mask=batch.attention_mask, return_type="logits")


@torch.no_grad()
def activations(model, examples, name):
    """At every position of every example, without padding, each example in a pass of its own."""
    kept = []

    def keep(activation, hook):
        kept.append(activation[0].clone())
        return activation

    for example in examples:
        with model.hooks(fwd_hooks=[(name, keep)]):
            logits(model, [example])
    return torch.cat(kept)


def bits(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


# scale


@pytest.mark.parametrize("what", ["circuit", "mask"])
def test_a_scale_of_1_is_the_model_to_the_bit(tiny, examples, what):
    ablation = CIRCUIT if what == "circuit" else outgoing(tiny, CIRCUIT)
    intact = logits(tiny, examples)
    with ablated(tiny, ablation, method="scale", alpha=1.0):
        assert torch.equal(logits(tiny, examples), intact)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_scale_of_activations_is_one_of_the_weights_that_read_them(tiny, examples, alpha):
    with ablated(tiny, CIRCUIT, method="scale", alpha=alpha):
        by_hooks = logits(tiny, examples)
    before = bits(tiny)
    with ablated(tiny, outgoing(tiny, CIRCUIT), method="scale", alpha=alpha):
        in_weights = logits(tiny, examples)
    assert torch.allclose(by_hooks, in_weights, atol=1e-5)
    assert not torch.allclose(by_hooks, logits(tiny, examples), atol=1e-2)
    assert all(torch.equal(parameter, before[name]) for name, parameter in tiny.named_parameters())


# mean


def test_the_mean_is_over_every_position_of_every_example(tiny, examples):
    circuit, seen = Circuit(heads=[(1, 2)], neurons=[(0, 5)]), {}

    def keep(activation, hook, name):
        seen[name] = activation.clone()
        return activation

    names = {"head": head_hook(1), "neuron": neuron_hook(0)}
    means = {name: activations(tiny, examples, names[name]).double().mean(0).float() for name in names}
    own = [(hook, partial(keep, name=name)) for name, hook in names.items()]
    with ablated(tiny, circuit, method="mean", reference=examples), tiny.hooks(fwd_hooks=own):
        logits(tiny, examples[:2])
    assert torch.allclose(seen["head"][:, :, 2], means["head"][2].expand_as(seen["head"][:, :, 2]), atol=1e-6)
    assert torch.allclose(seen["neuron"][..., 5], means["neuron"][5].expand_as(seen["neuron"][..., 5]), atol=1e-6)
    assert seen["neuron"][..., 4].std() > 0.01, "others vary as before"


def test_what_is_read_is_the_intact_model_for_all_parts(tiny, examples):
    """A circuit's later components do not see its earlier ones replaced."""
    whole = {"method": "mean", "reference": examples}
    with ablated(tiny, CIRCUIT, **whole):
        together = logits(tiny, examples)
    with ablated(tiny, [Circuit(heads=CIRCUIT.heads), Circuit(neurons=CIRCUIT.neurons)], **whole):
        assert torch.equal(logits(tiny, examples), together)


# several at once


@settings(max_examples=15)
@given(one=circuits, other=circuits, fails=st.booleans())
def test_a_list_is_the_union_and_contexts_restore(tiny, one, other, fails):
    examples = written(tiny.tokenizer)[:2]
    intact, before = logits(tiny, examples), bits(tiny)
    mask = outgoing(tiny, other)
    with ablated(tiny, one | other):
        union = logits(tiny, examples)
    with ablated(tiny, [one, mask, None]):
        assert torch.allclose(logits(tiny, examples), union, atol=1e-5)
    try:
        with ablated(tiny, mask), ablated(tiny, [mask, one]), ablated(tiny, other, method="scale", alpha=0.0):
            assert torch.allclose(logits(tiny, examples), union, atol=1e-5)
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert torch.equal(logits(tiny, examples), intact)
    assert all(torch.equal(parameter, before[name]) for name, parameter in tiny.named_parameters())


def test_the_weights_that_read_a_component_are_as_many_as_it_has_outputs(tiny):
    mask = outgoing(tiny, CIRCUIT)
    assert len(mask) == 3 * 8 * 32 + 3 * 32 and set(mask.indices) == {
        f"blocks.{layer}.{kind}" for layer in (0, 1) for kind in ("attn.o", "mlp.out")
    }
    assert outgoing(tiny, Circuit()) == WeightMask(shapes=mask.shapes)


# errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "median"}, r"method 'median' is unknown: choose one of zero, scale, mean"),
        ({"method": "scale"}, r"method='scale' takes a finite number"),
        ({"alpha": 0.5}, r"alpha=0\.5 with method='zero'"),
        ({"method": "scale", "alpha": float("nan")}, r"takes a finite number"),
        ({"method": "mean"}, r"method='mean' takes reference="),
        ({"reference": [None]}, r"the others none"),
    ],
)
def test_a_method_without_what_it_needs(tiny, options, message):
    with pytest.raises(AblationError, match=message), ablated(tiny, CIRCUIT, **options):
        pass


def test_what_a_mask_cannot_do(tiny, examples):
    mask = outgoing(tiny, CIRCUIT)
    refused = pytest.raises(AblationError, match="a weight can be set to zero or scaled")
    with refused, ablated(tiny, mask, method="mean", reference=examples):
        pass


def test_what_is_no_ablation(tiny):
    for wrong in ("circuit.json", ["circuit.json"], [[CIRCUIT]]):
        with pytest.raises(AblationError, match="an ablation is a Circuit, a WeightMask, None"), ablated(tiny, wrong):
            pass
    with pytest.raises(CircuitError, match="combined with another one, not with a WeightMask"):
        CIRCUIT | outgoing(tiny, CIRCUIT)
