"""Integrated attribution: against autograd through gates in plain transformers, and the sum that it must have."""

from functools import partial

import numpy as np
import plain
import pytest
import torch
from tiny import tiny_model, tiny_tokenizer
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from harmcircuits.ablation.ablate import ablated
from harmcircuits.attribution.first_order import attribute
from harmcircuits.attribution.metrics import BoundMetric
from harmcircuits.attribution.scores import Attribution
from harmcircuits.circuits import Circuit
from harmcircuits.data import Example, example_rows, loss
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.load import load_model

exact_attribution = partial(attribute, method="exact")
integrated_attribution = partial(attribute, method="integrated")

EVERYTHING = Circuit(
    heads=[(layer, head) for layer in range(2) for head in range(4)],
    neurons=[(layer, neuron) for layer in range(2) for neuron in range(64)],
)


def sums(scores: Attribution) -> torch.Tensor:
    return scores.per_example_heads.sum((1, 2)) + scores.per_example_neurons.sum((1, 2))


def slopes(hf_model, prompt, response, m: float) -> tuple[torch.Tensor, torch.Tensor]:
    """−∂L/∂m_c at m_c = m for all c: a gate of its own for each head and neuron of a plain model, and autograd."""
    config = hf_model.config
    heads = torch.full((config.num_hidden_layers, config.num_attention_heads), m, requires_grad=True)
    neurons = torch.full((config.num_hidden_layers, config.intermediate_size), m, requires_grad=True)
    multiply = lambda gate, module, args: (args[0] * gate, *args[1:])
    handles = []
    for layer, block in enumerate(hf_model.model.layers):
        wide = heads[layer].repeat_interleave(config.head_dim)
        handles.append(block.self_attn.o_proj.register_forward_pre_hook(partial(multiply, wide)))
        handles.append(block.mlp.down_proj.register_forward_pre_hook(partial(multiply, neurons[layer])))
    total = plain.nll(hf_model, prompt, response).mean()
    for handle in handles:
        handle.remove()
    return tuple(-part for part in torch.autograd.grad(total, (heads, neurons)))


# what the numbers are


@pytest.mark.parametrize("steps", [1, 3])
def test_scores_are_slopes_of_gates_in_a_plain_model(tiny, examples, steps):
    scores = integrated_attribution(tiny, examples, steps=steps)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    assert steps > 1 or nodes == pytest.approx([0]), "one step is the midpoint, m = ½"
    for index, example in enumerate(examples):
        ids = plain.ids_of(tiny, example)
        each = [slopes(tiny_model(), *ids, float(node + 1) / 2) for node in nodes]
        for at, own in enumerate((scores.per_example_heads[index], scores.per_example_neurons[index])):
            expected = sum(weight / 2 * part[at] for weight, part in zip(weights, each, strict=True))
            assert torch.allclose(own, expected, atol=1e-5 * float(expected.abs().max()))


def test_scores_add_up_to_the_loss_without_any_component(tiny, examples):
    with ablated(tiny, EVERYTHING):
        rise = loss(tiny, examples)
    rise = rise - loss(tiny, examples)
    assert rise.abs().min() > 0.05, "a sum of zero would say little"
    errors = [(sums(integrated_attribution(tiny, examples, steps=n)) / rise - 1).abs().max() for n in (1, 8, 16, 32)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.01, errors


@pytest.mark.model
def test_where_the_metric_is_linear_in_gates_all_three_agree(examples):
    """One layer whose attention and neurons read the embedding side by side, and a metric linear in what they write."""
    config = GPTNeoXConfig(
        num_hidden_layers=1,
        hidden_size=32,
        num_attention_heads=4,
        intermediate_size=64,
        vocab_size=512,
        use_parallel_residual=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hf_model = GPTNeoXForCausalLM(config).eval()
    model = load_model("linear", hf_model=hf_model, tokenizer=tiny_tokenizer(), device="cpu")
    direction = torch.randn(32, generator=torch.Generator().manual_seed(1))

    class Written:
        def for_model(self, model, examples):
            def measure(batch):
                kept = []
                with model.hooks(fwd_hooks=[("blocks.0.hook_resid_post", lambda a, hook: kept.append(a) or a)]):
                    model(batch.tokens, attention_mask=batch.attention_mask, return_type="logits")
                return batch.mean_over_rows(kept[0].flatten(0, 1)[batch.positions] @ direction)

            return BoundMetric(example_rows(model, examples), measure)

    first = attribute(model, examples, metric=Written())
    neurons = [(0, neuron) for neuron in range(64)]
    exact = exact_attribution(model, examples, heads=[(0, head) for head in range(4)], neurons=neurons, metric=Written())
    for steps in (1, 3):
        integrated = integrated_attribution(model, examples, steps=steps, metric=Written())
        for part in ("per_example_heads", "per_example_neurons"):
            assert getattr(first, part).abs().max() > 1e-3
            assert torch.allclose(getattr(first, part), getattr(integrated, part), atol=1e-5)
            assert torch.allclose(getattr(first, part), getattr(exact, part), atol=1e-5)


# errors


@pytest.mark.model
def test_what_cannot_be_integrated(tiny, examples):
    for steps in (0, 2.5):
        with pytest.raises(HarmcircuitsError, match=f"steps must be a whole number of at least 1, not {steps}"):
            integrated_attribution(tiny, examples, steps=steps)
    bad = lambda embedding, hook: torch.cat([embedding[:-1], embedding[-1:] * torch.nan])  # of the shortest example
    short = Example(request="Hi", response="words")
    message = r"the score of head \(0, 0\) of example 1 is not a number"
    with tiny.hooks(fwd_hooks=[("hook_embed", bad)]), pytest.raises(HarmcircuitsError, match=message):
        integrated_attribution(tiny, [examples[0], short], steps=1)


def test_a_sum_that_misses_much_of_the_rise_is_told(tiny, examples, caplog):
    integrated_attribution(tiny, examples, steps=1)
    assert "integrated: with 1 steps" in caplog.text and "take more steps" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", logger="harmcircuits"):
        integrated_attribution(tiny, examples, steps=64)
    assert [record.levelname for record in caplog.records] == ["INFO"] and "with 64 steps" in caplog.text
