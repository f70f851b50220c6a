"""How far half precision moves what is found: losses, scores, selections."""

from typing import Any, NamedTuple

import pytest
import torch
from comparisons import differ
from scipy.stats import spearmanr
from tiny import tiny_model, tiny_tokenizer
from triples import make_triples

import harmcircuits as hc


class Found(NamedTuple):
    losses: torch.Tensor
    scores: hc.Attribution
    weights: hc.WeightAttribution


class Tolerance(NamedTuple):
    """Of losses, nats per token; of scores, the largest difference by the largest score, and the rank correlation of heads,
    neurons and weights; of selections, the shared part |both| / |either| of circuits and masks."""

    loss: float
    largest: float
    heads: float
    neurons: float
    weights: float
    protection: float
    shared: float


TOLERANCES = {
    torch.bfloat16: Tolerance(loss=0.1, largest=0.3, heads=0.9, neurons=0.98, weights=0.98, protection=0.999, shared=0.7),
    torch.float16: Tolerance(loss=0.01, largest=0.05, heads=0.99, neurons=0.999, weights=0.999, protection=0.9999, shared=0.9),
}


def load(dtype: torch.dtype, hooked: bool) -> Any:
    hf_model = tiny_model(n_layers=4, n_heads=8, n_kv=4, d_model=64, d_mlp=128).to(dtype)
    return hc.load_model("tiny", hf_model=hf_model, tokenizer=tiny_tokenizer(), device="cpu", hooked=hooked)


def find(dtype: torch.dtype, hooked: bool, examples: list[hc.Example]) -> Found:
    model = load(dtype, hooked)
    W = hc.attribute_weights(model, examples[:12], benign=examples[12:])
    return Found(hc.loss(model, examples), hc.attribute(model, examples), W)


@pytest.fixture(scope="module")
def examples(hooked: bool) -> list[hc.Example]:
    """Written by the model in float32, so that every type is asked about the same tokens."""
    return hc.elicit(load(torch.float32, hooked), make_triples(8).prompts, max_new_tokens=16, temperature=0, cache=False)


@pytest.fixture(scope="module")
def full(hooked: bool, examples: list[hc.Example]) -> Found:
    return find(torch.float32, hooked, examples)


def flat(scores: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([values.flatten() for values in scores.values()])


def alike(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(spearmanr(one.flatten(), other.flatten())[0])


@pytest.mark.parametrize("dtype", list(TOLERANCES))
def test_half_precision_finds_what_float32_finds(
    dtype: torch.dtype, hooked: bool, examples: list[hc.Example], full: Found
) -> None:
    half, limit = find(dtype, hooked, examples), TOLERANCES[dtype]
    assert {tensor.dtype for tensor in (half.losses, half.scores.heads, *half.weights.signed.values())} == {torch.float32}
    assert float((half.losses - full.losses).abs().max()) < limit.loss
    assert alike(half.scores.heads, full.scores.heads) > limit.heads
    assert alike(half.scores.neurons, full.scores.neurons) > limit.neurons
    assert alike(flat(half.weights.signed), flat(full.weights.signed)) > limit.weights
    assert alike(flat(half.weights.absolute), flat(full.weights.absolute)) > limit.protection
    for ours, exact in (
        (half.scores.heads, full.scores.heads),
        (half.scores.neurons, full.scores.neurons),
        (flat(half.weights.signed), flat(full.weights.signed)),
    ):
        assert differ(ours, exact) < limit.largest
    circuits: Any = [hc.select(found.scores, heads=4, neurons=30) for found in (half, full)]
    masks: Any = [hc.select(found.weights, q=0.01, p=0.01) for found in (half, full)]
    assert len(masks[1]) > 500
    for ours, exact in (circuits, masks):
        assert ours.jaccard(exact) > limit.shared
