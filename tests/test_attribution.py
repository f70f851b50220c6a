"""Attribution: against autograd in plain transformers, and what must not change it. Finite differences: test_architectures."""

from functools import partial

import plain
import pytest
import torch
from comparisons import differ, untouched
from tiny import tiny_bridge, tiny_model
from written import PROMPTS

from harmcircuits.ablation.ablate import ablated
from harmcircuits.attribution.first_order import attribute
from harmcircuits.attribution.weights import attribute_weights
from harmcircuits.circuits import Circuit
from harmcircuits.errors import HarmcircuitsError

exact_attribution = partial(attribute, method="exact")
integrated_attribution = partial(attribute, method="integrated")
ALGORITHMS = [attribute, exact_attribution, integrated_attribution, attribute_weights]


def by_hand(model, hf_model, examples, value=None) -> tuple[torch.Tensor, torch.Tensor]:
    each = [plain.scores(hf_model, *plain.ids_of(model, example), value=value) for example in examples]
    heads, neurons = zip(*each, strict=True)
    return torch.stack(heads), torch.stack(neurons)


# what the numbers are


def test_scores_are_those_of_autograd_one_example_at_a_time(tiny, examples):
    scores = attribute(tiny, examples)
    heads, neurons = by_hand(tiny, tiny_model(), examples)
    assert scores.per_example_heads.shape == (4, 2, 4) and scores.per_example_neurons.shape == (4, 2, 64)
    assert scores.per_example_heads.dtype == scores.per_example_neurons.dtype == torch.float32
    assert differ(scores.per_example_heads, heads) < 1e-5
    assert differ(scores.per_example_neurons, neurons) < 1e-5
    assert torch.equal(scores.heads, scores.per_example_heads.mean(0))
    assert torch.equal(scores.neurons_abs, scores.per_example_neurons.abs().mean(0))
    assert torch.equal(scores.heads_abs, scores.per_example_heads.abs().mean(0)) and scores.n_examples == 4


def test_an_ablated_component_has_a_score_of_exactly_zero(tiny, examples):
    circuit = Circuit(heads=[(0, 1), (1, 2)], neurons=[(0, 3), (1, 60)])
    with ablated(tiny, circuit):
        scores = attribute(tiny, examples)
    zeroed = plain.without(tiny_model(), heads=circuit.heads, neurons=circuit.neurons)
    heads, neurons = by_hand(tiny, zeroed, examples)
    for layer, head in circuit.heads:
        assert not scores.per_example_heads[:, layer, head].any()
        heads[:, layer, head] = 0
    for layer, neuron in circuit.neurons:
        assert not scores.per_example_neurons[:, layer, neuron].any()
        neurons[:, layer, neuron] = 0
    assert differ(scores.per_example_heads, heads) < 1e-5, "the others are scored in the ablated model"
    assert differ(scores.per_example_neurons, neurons) < 1e-5


# what must not change, and what may be chosen


@pytest.mark.model
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_model_is_left_as_it_was_and_may_be_trainable(tmp_path, hooked, examples, algorithm):
    model, tensors = tiny_bridge(tmp_path / "own", hooked=hooked), []
    for trainable in (False, True):
        with untouched(model, trainable=trainable):
            with torch.no_grad():
                scores = algorithm(model, examples)
            with pytest.raises(ZeroDivisionError):
                algorithm(model, examples, metric=lambda logits, batch: 1 / 0)
        weights = [*vars(scores).get("signed", {}).values(), *vars(scores).get("absolute", {}).values()]
        tensors.append(weights or [scores.per_example_heads, scores.per_example_neurons])
    for frozen, trained in zip(*tensors, strict=True):
        assert torch.allclose(trained, frozen, atol=1e-6, equal_nan=True) and not trained.requires_grad


def test_a_metric_of_the_logits(tiny, examples):
    def of_batch(logits, batch):
        return batch.mean_over_rows(logits[:, 7] * logits[:, 9])

    def of_row(start, stop):
        return lambda logits: (logits[start - 1 : stop - 1, 7] * logits[start - 1 : stop - 1, 9]).mean()

    scores = attribute(tiny, examples, metric=of_batch, batch_size=3)
    for index, example in enumerate(examples):
        prompt, response = plain.ids_of(tiny, example)
        heads, neurons = plain.scores(tiny_model(), prompt, response, value=of_row(len(prompt), len(prompt) + len(response)))
        assert differ(scores.per_example_heads[index], heads) < 1e-5
        assert differ(scores.per_example_neurons[index], neurons) < 1e-5


# errors


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_examples_and_metrics_that_make_no_sense(tiny, examples, algorithm):
    for wrong in ("text", examples[0], ["text"]):
        with pytest.raises(HarmcircuitsError, match=r"examples are a list of hc\.Example"):
            algorithm(tiny, wrong)
    with pytest.raises(HarmcircuitsError, match="no examples"):
        algorithm(tiny, [])
    with pytest.raises(HarmcircuitsError, match=r"has no response: elicit it first"):
        algorithm(tiny, PROMPTS)
    with pytest.raises(HarmcircuitsError, match="must give one value for each of the batch"):
        algorithm(tiny, examples[:3], metric=lambda logits, batch: logits[:, 3].mean())
    if algorithm is not exact_attribution:
        with pytest.raises(HarmcircuitsError, match="the metric does not depend on the"):
            algorithm(tiny, examples, metric=lambda logits, batch: torch.ones(len(batch.tokens)))


def test_a_method_and_its_options_and_a_model_without_mlps(tiny, examples, monkeypatch):
    with pytest.raises(HarmcircuitsError, match="method 'gradient' is unknown"):
        attribute(tiny, examples, method="gradient")
    with pytest.raises(TypeError, match="steps"):
        attribute(tiny, examples, steps=3)
    monkeypatch.setattr(tiny.cfg, "d_mlp", None)
    with pytest.raises(HarmcircuitsError, match=r"has no d_mlp.*Dense decoder-only transformers work"):
        attribute(tiny, examples)
