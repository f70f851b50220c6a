"""What fine-tuning changed: as it was made, and taken back in a mask or everywhere but in it."""

from dataclasses import replace
from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_bridge

from harmcircuits.ablation.changes import AblationError
from harmcircuits.ablation.export import export
from harmcircuits.components import Circuit, MaskError, WeightMask
from harmcircuits.models.matrices import matrices
from harmcircuits.models.protocol import model_hash
from harmcircuits.organisms.finetuning import FinetuneError, difference, restored

pytestmark = pytest.mark.model
TOKENS = torch.arange(5, 65).reshape(2, 30)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two models: the weights of one, and those of the blocks changed."""
    base, tuned = (tiny_bridge(tmp_path_factory.mktemp("tiny")) for _ in range(2))
    torch.manual_seed(0)
    with torch.no_grad():
        for matrix in matrices(tuned):
            matrix.parameter.add_(0.05 * torch.randn_like(matrix.parameter))
    return base, tuned


@torch.no_grad()
def logits(model):
    return model(TOKENS, return_type="logits")


def values(model):
    return {matrix.name: matrix.values().clone() for matrix in matrices(model)}


def shapes(model):
    return {matrix.name: matrix.shape for matrix in matrices(model)}


def everything(model):
    return WeightMask(indices={name: torch.arange(prod(shape)) for name, shape in shapes(model).items()}, shapes=shapes(model))


def test_base_and_difference_make_the_fine_tuned_weights(pair):
    base, tuned = pair
    deltas = difference(base, tuned)
    assert deltas.keys() == shapes(base).keys()
    for name, delta in deltas.items():
        assert torch.allclose(values(base)[name] + delta, values(tuned)[name], atol=1e-6) and delta.abs().max() > 0.1


@given(seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.01, 0.5]), everywhere_but=st.booleans())
def test_each_weight_is_the_bases_or_the_fine_tuned_ones(pair, seed, share, everywhere_but):
    base, tuned = pair
    torch.manual_seed(seed)
    drawn = {name: torch.rand(prod(shape)) < share for name, shape in shapes(base).items() if not name.endswith("attn.o")}
    mask = WeightMask(indices={name: inside.nonzero().flatten() for name, inside in drawn.items()}, shapes=shapes(base))
    before, own, key = values(base), values(tuned), model_hash(tuned)
    with restored(tuned, base, mask, everywhere_but=everywhere_but):
        for name, now in values(tuned).items():
            inside = drawn.get(name, torch.zeros(prod(now.shape), dtype=torch.bool)).view_as(now)
            assert torch.equal(now, torch.where(inside != everywhere_but, before[name], own[name]))
    assert model_hash(tuned) == key


def test_with_all_taken_back_the_model_is_the_base(pair):
    base, tuned = pair
    nothing = WeightMask(shapes=shapes(base))
    assert not torch.allclose(logits(tuned), logits(base), atol=0.1)
    with restored(tuned, base, everything(base)):
        assert torch.equal(logits(tuned), logits(base))
    with restored(tuned, base, nothing, everywhere_but=True):
        assert torch.equal(logits(tuned), logits(base))


@pytest.mark.parametrize("everywhere_but", [False, True])
def test_an_exception_inside_leaves_every_bit(pair, everywhere_but):
    base, tuned = pair
    key, other = model_hash(tuned), model_hash(base)
    mask = everything(base).random_like(seed=0) - WeightMask(indices={"blocks.0.attn.q": [3]}, shapes=shapes(base))
    with pytest.raises(KeyError), restored(tuned, base, mask, everywhere_but=everywhere_but):
        assert model_hash(tuned) != key
        raise KeyError
    assert model_hash(tuned) == key and model_hash(base) == other


def test_weights_that_are_taken_back_for_a_while_are_not_exported(pair, tmp_path):
    base, tuned = pair
    with restored(tuned, base, everything(base)), pytest.raises(AblationError, match="ablated or has hooks"):
        export(tuned, Circuit(heads=[(0, 1)]), tmp_path / "pruned")
    assert export(tuned, Circuit(heads=[(0, 1)]), tmp_path / "pruned").is_dir()


def test_models_of_other_shapes_are_refused(pair, tmp_path):
    _, tuned = pair
    small = tiny_bridge(tmp_path / "small", d_mlp=32)
    with pytest.raises(FinetuneError, match=r"blocks\.0\.mlp\.gate has the shape \(32, 32\) in the base and \(64, 32\)"):
        difference(small, tuned)
    with pytest.raises(FinetuneError, match="give the model that was trained from"), restored(tuned, small, everything(tuned)):
        pass
    with pytest.raises(MaskError, match="Was the mask found in another model"), restored(tuned, tuned, everything(small)):
        pass


def test_the_difference_of_an_adapter_is_what_peft_says(pair, tmp_path):
    pytest.importorskip("trl")
    from safetensors.torch import load_file
    from test_finetuning import FEW, LESSONS

    from harmcircuits.organisms.finetuning import finetune

    base, _ = pair
    tuned = finetune(base, LESSONS, recipe=replace(FEW, epochs=1), folder=tmp_path / "tuned")
    saved, deltas = load_file(tuned.folder / "adapter_model.safetensors"), difference(base, tuned.load())
    names = {
        "attn.q": "self_attn.q_proj",
        "attn.o": "self_attn.o_proj",
        "mlp.gate": "mlp.gate_proj",
        "mlp.out": "mlp.down_proj",
    }
    for kind, name in names.items():
        a, b = (saved[f"base_model.model.model.layers.1.{name}.lora_{part}.weight"] for part in "AB")
        assert torch.allclose(deltas[f"blocks.1.{kind}"], FEW.alpha / FEW.rank * b @ a, atol=1e-6)
    assert len(saved) == 2 * len(deltas)
