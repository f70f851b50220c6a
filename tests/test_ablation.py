"""Ablation: by hooks it equals zero rows in the weights, by masks the weights themselves; nothing is left behind."""

from functools import partial

import plain
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_bridge, tiny_model
from written import written

from harmcircuits.ablation.ablate import ablated
from harmcircuits.ablation.in_place import masks_in_force
from harmcircuits.circuits import Circuit, WeightMask, outgoing
from harmcircuits.data import example_rows, make_batch
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.matrices import Matrix, matrices
from harmcircuits.models.protocol import head_hook, neuron_hook

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


# contexts


@pytest.mark.parametrize("nothing", [None, Circuit()])
def test_nothing_ablated_is_the_intact_model(tiny, nothing):
    intact = logits(tiny)
    with ablated(tiny, nothing) as model:
        assert torch.equal(logits(model), intact)


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


CIRCUIT = Circuit(heads=[(0, 1), (0, 3), (1, 2)], neurons=[(0, 0), (1, 7), (1, 63)])
circuits = st.builds(
    lambda heads, neurons: Circuit(heads=heads, neurons=neurons),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), max_size=4),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 63)), max_size=6),
)


@torch.no_grad()
def logits_of(model, examples):
    batch = make_batch(model, example_rows(model, examples))
    return model(batch.tokens, attention_mask=batch.attention_mask, return_type="logits")


# scale


@pytest.mark.parametrize("what", ["circuit", "mask"])
def test_a_scale_of_1_is_the_model_to_the_bit(tiny, examples, what):
    ablation = CIRCUIT if what == "circuit" else outgoing(tiny, CIRCUIT)
    intact = logits_of(tiny, examples)
    with ablated(tiny, ablation, method="scale", alpha=1.0):
        assert torch.equal(logits_of(tiny, examples), intact)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_scale_of_activations_is_one_of_the_weights_that_read_them(tiny, examples, alpha):
    with ablated(tiny, CIRCUIT, method="scale", alpha=alpha):
        by_hooks = logits_of(tiny, examples)
    before = bits(tiny)
    with ablated(tiny, outgoing(tiny, CIRCUIT), method="scale", alpha=alpha):
        in_weights = logits_of(tiny, examples)
    assert torch.allclose(by_hooks, in_weights, atol=1e-5)
    assert not torch.allclose(by_hooks, logits_of(tiny, examples), atol=1e-2)
    assert unchanged(tiny, before)


# mean


@torch.no_grad()
def test_the_mean_is_over_every_position_of_every_example(tiny, examples):
    circuit, seen, alone = Circuit(heads=[(1, 2)], neurons=[(0, 5)]), {}, {}

    def keep(activation, hook, name, into):
        into.setdefault(name, []).append(activation.clone())
        return activation

    hooks = lambda into: [(name, partial(keep, name=name, into=into)) for name in (head_hook(1), neuron_hook(0))]
    with tiny.hooks(fwd_hooks=hooks(alone)):
        for example in examples:  # each in a pass of its own, without padding
            logits_of(tiny, [example])
    with ablated(tiny, circuit, method="mean", reference=examples), tiny.hooks(fwd_hooks=hooks(seen)):
        logits_of(tiny, examples[:2])
    for name, index in ((head_hook(1), 2), (neuron_hook(0), 5)):
        mean = torch.cat([part[0] for part in alone[name]]).double().mean(0).float()[index]
        assert (seen[name][0][:, :, index] - mean).abs().max() < 1e-6
    assert seen[neuron_hook(0)][0][..., 4].std() > 0.01, "others vary as before"


def test_what_is_read_is_the_intact_model_for_all_parts(tiny, examples):
    """A circuit's later components do not see its earlier ones replaced."""
    whole = {"method": "mean", "reference": examples}
    with ablated(tiny, CIRCUIT, **whole):
        together = logits_of(tiny, examples)
    with ablated(tiny, [Circuit(heads=CIRCUIT.heads), Circuit(neurons=CIRCUIT.neurons)], **whole):
        assert torch.equal(logits_of(tiny, examples), together)


# several at once


@settings(max_examples=15)
@given(one=circuits, other=circuits, fails=st.booleans())
def test_a_list_is_the_union_and_contexts_restore(tiny, one, other, fails):
    examples = written(tiny.tokenizer)[:2]
    intact, before, hooks = logits_of(tiny, examples), bits(tiny), hooks_set(tiny)
    mask = outgoing(tiny, other)
    with ablated(tiny, one | other):
        union = logits_of(tiny, examples)
    with ablated(tiny, [one, mask, None]):
        assert torch.allclose(logits_of(tiny, examples), union, atol=1e-5)
    try:
        with ablated(tiny, mask), ablated(tiny, [mask, one]), ablated(tiny, other, method="scale", alpha=0.0):
            assert torch.allclose(logits_of(tiny, examples), union, atol=1e-5)
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert torch.equal(logits_of(tiny, examples), intact)
    assert unchanged(tiny, before) and hooks_set(tiny) == hooks


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
    with pytest.raises(HarmcircuitsError, match=message), ablated(tiny, CIRCUIT, **options):
        pass


def test_what_a_mask_cannot_do(tiny, examples):
    mask = outgoing(tiny, CIRCUIT)
    refused = pytest.raises(HarmcircuitsError, match="a weight can be set to zero or scaled")
    with refused, ablated(tiny, mask, method="mean", reference=examples):
        pass


def test_what_is_no_ablation(tiny):
    for wrong in ("circuit.json", ["circuit.json"], [[CIRCUIT]]):
        with pytest.raises(HarmcircuitsError, match="an ablation is a Circuit, a WeightMask, None"), ablated(tiny, wrong):
            pass
    with pytest.raises(HarmcircuitsError, match="combined with another one, not with a WeightMask"):
        CIRCUIT | outgoing(tiny, CIRCUIT)


# masks of weights


def bits(model) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone().view(torch.int32) for name, parameter in model.named_parameters()}


def unchanged(model, before) -> bool:
    after = bits(model)
    return after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


def shapes(model) -> dict:
    return {matrix.name: matrix.shape for matrix in matrices(model)}


def random_mask(model, seed: int) -> WeightMask:
    generator = torch.Generator().manual_seed(seed)
    sizes = shapes(model)
    return WeightMask(
        indices={name: torch.randperm(a * b, generator=generator)[:40] for name, (a, b) in sizes.items()}, shapes=sizes
    )


def test_the_named_weights_of_transformers_and_no_others_are_zero(tiny):
    mask, hf_model = random_mask(tiny, 0), tiny_model()
    for name, flat in mask.indices.items():
        plain.matrix(hf_model, name).data.flatten()[flat] = 0
    with torch.no_grad():
        zeroed = hf_model(TOKENS).logits
    with ablated(tiny, mask):
        assert (logits(tiny) - zeroed).abs().max() < 1e-5
        zeros = sum(int((matrix.parameter == 0).sum()) for matrix in matrices(tiny))
        assert zeros == len(mask) == 40 * 14


def test_an_interrupt_of_the_undo_leaves_no_weight_ablated(tiny, monkeypatch):
    before, write, interrupts = bits(tiny), Matrix.write, [False, True, True]

    def interrupted(matrix, flat, values):
        write(matrix, flat, values)
        if interrupts and interrupts.pop(0):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ablated(tiny, random_mask(tiny, 0)):
        monkeypatch.setattr(Matrix, "write", interrupted)
    assert unchanged(tiny, before) and masks_in_force(tiny) == 0 and not interrupts


def test_negative_zeros_and_tiny_numbers_come_back(hooked, tmp_path):
    model = tiny_bridge(tmp_path, hooked=hooked)
    weights = {matrix.name: matrix for matrix in matrices(model)}["blocks.0.mlp.in"]
    weights.write(torch.arange(3), torch.tensor([-0.0, 1e-42, torch.nan]))
    before = bits(model)
    with ablated(model, WeightMask(indices={weights.name: range(5)}, shapes=shapes(model))):
        assert weights.read(torch.arange(5)).view(torch.int32).eq(0).all(), "plain zeros"
    assert unchanged(model, before)


@pytest.mark.parametrize("kind", ["masks", "circuits"])
def test_nested_contexts_are_the_union(tiny, kind):
    one, two, before = random_mask(tiny, 0), random_mask(tiny, 1), bits(tiny)
    if kind == "circuits":
        one, two = Circuit(heads=HEADS, neurons=NEURONS[:2]), Circuit(heads=[(0, 0), (0, 1)], neurons=NEURONS[1:])
    assert len(one & two), "they overlap"
    with ablated(tiny, one | two):
        union = logits(tiny)
    with ablated(tiny, one):
        outer, inside = logits(tiny), bits(tiny)
        with pytest.raises(KeyError), ablated(tiny, two):
            assert torch.equal(logits(tiny), union)
            raise KeyError
        assert unchanged(tiny, inside) and torch.equal(logits(tiny), outer)
        with ablated(tiny, one):
            assert torch.equal(logits(tiny), outer)
    assert unchanged(tiny, before) and not torch.equal(union, outer)
