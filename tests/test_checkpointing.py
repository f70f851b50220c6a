"""Activation checkpointing: the same scores bit for bit, from blocks that are computed once more, and nothing left behind."""

from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
from families import MODELS, random_model
from tiny import tiny_model_folder, tiny_tokenizer
from untouched import untouched
from written import written

import harmcircuits as hc
from harmcircuits.ablation.hooks import ablated
from harmcircuits.attribution.activations import attribute
from harmcircuits.attribution.integrated import integrated_attribution
from harmcircuits.attribution.weights import attribute_weights
from harmcircuits.components import Circuit
from harmcircuits.examples import Example
from harmcircuits.models import past
from harmcircuits.models.checkpointing import checkpointed
from harmcircuits.models.load import load_model
from harmcircuits.models.matrices import matrices
from harmcircuits.models.protocol import ModelError, forward, geometry

pytestmark = pytest.mark.model


def same_scores(one: hc.Attribution, other: hc.Attribution) -> bool:
    kinds = ("per_example_heads", "per_example_neurons")
    return all(torch.equal(getattr(one, kind), getattr(other, kind)) for kind in kinds)


def same_weights(one: hc.WeightAttribution, other: hc.WeightAttribution) -> bool:
    pairs = ((one.signed, other.signed), (one.absolute, other.absolute))
    return all(torch.equal(ours[name], theirs[name]) for ours, theirs in pairs for name in ours)


@pytest.mark.parametrize("family", MODELS)
def test_scores_of_each_architecture_are_the_same_bit_for_bit(family: str, tmp_path: Any) -> None:
    random_model(family).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    model = load_model(tmp_path, device="cpu")
    examples = written(model.tokenizer)[:3]
    assert same_scores(attribute(model, examples, checkpoint=True), attribute(model, examples))
    scores = attribute_weights(model, examples[:2], benign=examples[2:], checkpoint=True)
    assert same_weights(scores, attribute_weights(model, examples[:2], benign=examples[2:]))


def test_of_either_class_under_an_ablation_and_along_the_gate(tiny: Any, examples: list[Example]) -> None:
    assert same_scores(attribute(tiny, examples, checkpoint=True), attribute(tiny, examples))
    same = [integrated_attribution(tiny, examples, steps=2, checkpoint=on) for on in (True, False)]
    assert same_scores(*same) and torch.equal(same[0].completeness_error, same[1].completeness_error)
    with ablated(tiny, Circuit(heads=[(0, 1)], neurons=[(1, 9)])):
        assert same_scores(attribute(tiny, examples, checkpoint=True), attribute(tiny, examples))
    one_by_one = attribute_weights(tiny, examples, max_memory=tiny_layer(tiny), checkpoint=True)
    assert same_weights(one_by_one, attribute_weights(tiny, examples, max_memory=tiny_layer(tiny)))


def tiny_layer(model: Any) -> int:
    """Bytes of both accumulators of the larger layer, so that each layer has a pass of its own."""
    sizes = Counter[int]()
    for matrix in matrices(model):
        sizes[matrix.layer] += 8 * matrix.parameter.numel()
    return max(sizes.values())


def test_every_block_is_computed_twice_and_no_more(tiny: Any, examples: list[Example]) -> None:
    calls = Counter[int]()

    def count(layer: int, activation: torch.Tensor, hook: Any) -> None:
        calls[layer] += 1

    layers = range(geometry(tiny).n_layers)
    with tiny.hooks(fwd_hooks=[(f"blocks.{layer}.hook_resid_pre", partial(count, layer)) for layer in layers]):
        attribute(tiny, examples, batch_size=len(examples), checkpoint=True)
    assert calls == dict.fromkeys(layers, 2)


def test_the_graph_keeps_less(tiny: Any, examples: list[Example]) -> None:
    """Numbers that autograd itself saves, where the blocks' own are most of them."""
    kept = {}
    for on in (False, True):
        saved: dict[int, int] = {}

        def keep(tensor: torch.Tensor, saved: dict[int, int] = saved) -> torch.Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.enable_grad(), checkpointed(tiny, on=on), torch.autograd.graph.saved_tensors_hooks(keep, lambda own: own):
            tokens = torch.arange(5, 45)[None]
            embedded = [("hook_embed", lambda own, hook: own.detach().requires_grad_(True))]
            with tiny.hooks(fwd_hooks=embedded):
                forward(tiny, tokens, torch.ones_like(tokens))
        kept[on] = sum(saved.values())
    assert kept[True] < kept[False] / 2


def test_it_leaves_nothing_behind_also_when_it_fails(tiny: Any, examples: list[Example]) -> None:
    before = attribute(tiny, examples)
    with untouched(tiny, trainable=False), pytest.raises(RuntimeError, match="in the middle"), checkpointed(tiny):
        raise RuntimeError("in the middle")
    assert not any("forward" in vars(block) for block in tiny.blocks)
    with checkpointed(tiny) as outer, checkpointed(tiny) as inner:
        assert not outer and not inner
    assert not any("forward" in vars(block) for block in tiny.blocks)
    assert same_scores(attribute(tiny, examples), before)


def test_it_leaves_nothing_behind_when_a_block_fails_the_second_time(tiny: Any, examples: list[Example]) -> None:
    before, calls = attribute(tiny, examples), Counter[str]()

    def full(activation: torch.Tensor, hook: Any) -> None:
        calls["block 0"] += 1
        if calls["block 0"] == 2:
            raise OSError("the device is full")

    with pytest.raises(OSError, match="the device is full"), tiny.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", full)]):
        attribute(tiny, examples, batch_size=len(examples), checkpoint=True)
    assert not any("forward" in vars(block) for block in tiny.blocks)
    assert same_scores(attribute(tiny, examples, checkpoint=True), before)


def test_in_half_precision(hooked: bool, tmp_path: Any) -> None:
    model = load_model(tiny_model_folder(tmp_path), device="cpu", dtype=torch.bfloat16, hooked=hooked)
    examples = written(model.tokenizer)
    assert same_scores(attribute(model, examples, checkpoint=True), attribute(model, examples))
    assert same_weights(attribute_weights(model, examples, checkpoint=True), attribute_weights(model, examples))


def test_a_text_after_cached_keys_and_values_is_refused(tiny: Any) -> None:
    tokens = torch.arange(5, 15)[None]
    held = past.empty_past(tiny, 1)
    with torch.no_grad(), checkpointed(tiny):
        forward(tiny, tokens, torch.ones_like(tokens), past=held)  # without gradients nothing is computed twice
    with torch.enable_grad(), checkpointed(tiny), pytest.raises(ModelError, match="read it whole, or leave checkpoint out"):
        forward(tiny, tokens, torch.ones_like(tokens), past=held)
