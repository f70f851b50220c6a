"""Masks zero exactly what they name, equal the circuits of the same components, and leave every bit as it was."""

from contextlib import ExitStack

import plain
import pytest
import torch
from tiny import tiny_bridge, tiny_model

from harmcircuits.ablation.ablate import ablated
from harmcircuits.circuits import Circuit, WeightMask
from harmcircuits.models.matrices import matrices

TOKENS = torch.arange(5, 65).reshape(2, 30)
HEADS, NEURONS = [(0, 0), (0, 3), (1, 2)], [(0, 0), (0, 31), (1, 63), (1, 7)]


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS, return_type="logits")


def bits(model) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone().view(torch.int32) for name, parameter in model.named_parameters()}


def unchanged(model, before) -> bool:
    after = bits(model)
    return after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)


def shapes(model) -> dict:
    return {matrix.name: matrix.shape for matrix in matrices(model)}


def columns(shape, chosen) -> torch.Tensor:
    """Indices of whole columns, that is of all weights that read some of a matrix's inputs."""
    return torch.arange(shape[0] * shape[1]).view(shape)[:, list(chosen)].flatten()


def mask_of(model, circuit) -> WeightMask:
    """The outgoing weights of each head (its part of W_O) and neuron (its row of W_out)."""
    sizes, indices = shapes(model), {}
    for layer in (0, 1):
        inputs = {
            "attn.o": [8 * head + at for own, head in circuit.heads if own == layer for at in range(8)],
            "mlp.out": [neuron for own, neuron in circuit.neurons if own == layer],
        }
        for kind, chosen in inputs.items():
            name = f"blocks.{layer}.{kind}"
            indices[name] = columns(sizes[name], chosen)
    return WeightMask(indices=indices, shapes=sizes)


def random_mask(model, seed: int) -> WeightMask:
    generator = torch.Generator().manual_seed(seed)
    sizes = shapes(model)
    return WeightMask(
        indices={name: torch.randperm(a * b, generator=generator)[:40] for name, (a, b) in sizes.items()}, shapes=sizes
    )


@pytest.mark.parametrize("circuit", [Circuit(heads=HEADS, neurons=NEURONS)])
def test_a_mask_of_all_outgoing_weights_is_the_circuit(tiny, circuit):
    intact = logits(tiny)
    with ablated(tiny, circuit):
        by_hooks = logits(tiny)
    with ablated(tiny, mask_of(tiny, circuit)) as same:
        assert same is tiny
        by_weights = logits(tiny)
    assert (by_hooks - by_weights).abs().max() < 1e-5 and (by_hooks - intact).abs().max() > 0.01


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


def test_every_bit_is_as_it_was_also_after_an_exception(tiny):
    before, intact = bits(tiny), logits(tiny)
    with ablated(tiny, random_mask(tiny, 0)):
        assert not unchanged(tiny, before)
    assert unchanged(tiny, before)
    with pytest.raises(KeyError, match="inside"), ablated(tiny, random_mask(tiny, 0)):
        raise KeyError("inside")
    assert unchanged(tiny, before) and torch.equal(logits(tiny), intact)


def test_negative_zeros_and_tiny_numbers_come_back(hooked, tmp_path):
    model = tiny_bridge(tmp_path, hooked=hooked)
    weights = {matrix.name: matrix for matrix in matrices(model)}["blocks.0.mlp.in"]
    weights.write(torch.arange(3), torch.tensor([-0.0, 1e-42, torch.nan]))
    before = bits(model)
    with ablated(model, WeightMask(indices={weights.name: range(5)}, shapes=shapes(model))):
        assert weights.read(torch.arange(5)).view(torch.int32).eq(0).all(), "plain zeros"
    assert unchanged(model, before)


def test_nested_masks_are_the_union(tiny):
    one, two, before = random_mask(tiny, 0), random_mask(tiny, 1), bits(tiny)
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
    assert unchanged(tiny, before)


@pytest.mark.parametrize("mask_first", [True])
def test_a_mask_and_a_circuit_nest(tiny, mask_first):
    circuit, mask, before = Circuit(heads=HEADS, neurons=NEURONS), random_mask(tiny, 0), bits(tiny)
    with ablated(tiny, mask | mask_of(tiny, circuit)):
        both = logits(tiny)
    intact = logits(tiny)
    with ExitStack() as stack:
        for part in (mask, circuit) if mask_first else (circuit, mask):
            stack.enter_context(ablated(tiny, part))
        assert (logits(tiny) - both).abs().max() < 1e-5
    assert unchanged(tiny, before) and torch.equal(logits(tiny), intact)
    assert not any(point.fwd_hooks for point in tiny.hook_dict.values())
