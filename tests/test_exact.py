"""Exact attribution: against weights set to zero in plain transformers, and against the slowest way of doing the same."""

from dataclasses import replace
from functools import partial

import plain
import pytest
import torch
from tiny import tiny_model
from written import written

from harmcircuits.ablation import sweep as sweeps
from harmcircuits.ablation.ablate import ablated
from harmcircuits.attribution.first_order import attribute
from harmcircuits.circuits import Circuit
from harmcircuits.data import example_rows, loss, response_loss
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.protocol import neuron_hook

exact_attribution = partial(attribute, method="exact")

HEADS = [(layer, head) for layer in range(2) for head in range(4)]
NEURONS = [(0, 3), (1, 60), (0, 9), (1, 0)]
CIRCUITS = [*(Circuit(heads=[at]) for at in HEADS), *(Circuit(neurons=[at]) for at in NEURONS)]


@pytest.fixture(params=["rows that join at their layers", "whole rows"])
def way(request, monkeypatch):
    """Both of the two ways, whatever the number of components."""
    monkeypatch.setattr(sweeps, "FEW", 0 if request.param.startswith("rows") else 10**6)
    return request.param


def by_hand(model, examples, circuits=CIRCUITS):
    """[example, component]: the loss of a plain model with weights set to zero, minus that of the model."""
    ids = [plain.ids_of(model, example) for example in examples]
    losses = []
    for circuit in (Circuit(), *circuits):
        cut = plain.without(tiny_model(), heads=circuit.heads, neurons=circuit.neurons)
        losses.append([plain.loss(cut, *own) for own in ids])
    return (torch.tensor(losses[1:]) - torch.tensor(losses[0])).T


def picked(scores):
    heads = [scores.per_example_heads[:, layer, head] for layer, head in HEADS]
    return torch.stack([*heads, *(scores.per_example_neurons[:, layer, neuron] for layer, neuron in NEURONS)], 1)


# what the numbers are


def test_scores_are_those_of_weights_set_to_zero_one_at_a_time(tiny, examples, way):
    scores = exact_attribution(tiny, examples, heads=HEADS, neurons=NEURONS)
    assert torch.allclose(picked(scores), by_hand(tiny, examples), atol=1e-5)
    assert picked(scores).abs().max() > 0.1 and scores.per_example_heads.dtype == torch.float32


def test_a_shared_beginning_is_read_once(tiny, examples):
    """The tiny chat template begins with few tokens: a longer common beginning must not change anything either."""
    same = [replace(example, request="Tell me, in two or three plain sentences: " + example.request) for example in examples]
    lengths = []

    def watch(activation, hook):
        lengths.append(activation.shape[1])
        return activation

    with tiny.hooks(fwd_hooks=[("hook_embed", watch)]):
        scores = exact_attribution(tiny, same, heads=HEADS, neurons=NEURONS, batch_size=100)
    assert torch.allclose(picked(scores), by_hand(tiny, same), atol=1e-5)
    tokens = [row.tokens for row in example_rows(tiny, same)]
    (shared,) = {len(own) - length for own, length in zip(tokens, lengths[-4:], strict=True)}
    if type(tiny).__name__ == "HookedTransformer":
        assert shared == 0, "its cache cannot take rows halfway up"
    else:
        assert shared > 20 and {own[:shared] for own in tokens} == {tokens[0][:shared]} and lengths[-5] == shared


def test_inside_an_ablation_it_is_the_rise_that_is_left(tiny, examples):
    other = Circuit(heads=[(0, 2)], neurons=[(1, 5)])
    with ablated(tiny, other):
        scores = exact_attribution(tiny, examples)
        intact = loss(tiny, examples)
    assert not scores.per_example_heads[:, 0, 2].any()
    with ablated(tiny, other | Circuit(heads=[(1, 1)])):
        assert torch.allclose(scores.per_example_heads[:, 1, 1], loss(tiny, examples) - intact, atol=1e-5)


# metrics


def test_a_metric_of_the_logits(tiny, examples, way):

    def product(logits, batch):
        return batch.mean_over_rows(logits[:, 7] * logits[:, 9])

    scores = exact_attribution(tiny, examples, metric=product)
    cut, row = Circuit(heads=[(0, 3)]), example_rows(tiny, examples)[2]
    logits = [
        plain.logits(model, row.tokens)[row.start - 1 : row.stop - 1]
        for model in (plain.without(tiny_model(), heads=cut.heads), tiny_model())
    ]
    values = [(part[:, 7] * part[:, 9]).mean() for part in logits]
    assert float(scores.per_example_heads[2, 0, 3]) == pytest.approx(float(values[0] - values[1]), abs=1e-4)
    default, given = exact_attribution(tiny, examples), exact_attribution(tiny, examples, metric=response_loss)
    assert torch.equal(default.per_example_heads, given.per_example_heads)


# memory


def test_as_many_rows_as_fit(tiny, examples, monkeypatch, way):
    rows, most = example_rows(tiny, examples), []

    def watch(activation, hook):
        most.append(len(activation))
        return activation

    longest = max(rows, key=lambda row: len(row.tokens))
    example = examples[rows.index(longest)]
    rises = by_hand(tiny, [example], CIRCUITS[:8])[0]
    for places in (1, 2, 4, 6):
        monkeypatch.setattr(sweeps, "ON_CPU", places * sweeps.row_bytes(tiny, longest))
        most.clear()
        with tiny.hooks(fwd_hooks=[(neuron_hook(1), watch)]):
            scores = exact_attribution(tiny, [example])
        least = 1 if way == "whole rows" else 2
        assert max(most) <= max(places, least), "an ablated row needs an intact one beside it where it joins"
        assert places == 1 or max(most) > places // 2
        assert torch.allclose(scores.heads.flatten(), rises, atol=1e-5)


def test_what_is_measured_and_what_cannot_be(tiny, examples):
    for options, heads, neurons in (
        ({}, HEADS, []),
        ({"heads": [(1, 2), (1, 2)]}, [(1, 2)], []),
        ({"heads": [(0, 1)], "neurons": [(1, 7)]}, [(0, 1)], [(1, 7)]),
    ):
        scores = exact_attribution(tiny, examples, **options)
        for kind, asked in (("heads", heads), ("neurons", neurons)):
            assert sorted(map(tuple, scores.measured[kind].nonzero().tolist())) == sorted(asked)
        assert scores.n_examples == 4
    for wrong, message in (
        ([], "no component asked for"),
        ([(2, 0)], r"head \(2, 0\) is not in this model"),
        ([3], "must be pairs"),
    ):
        with pytest.raises(HarmcircuitsError, match=message):
            exact_attribution(tiny, examples, heads=wrong)
    with pytest.raises(HarmcircuitsError, match="batch_size is 0: it counts rows, from 1"):
        exact_attribution(tiny, examples, batch_size=0)


@pytest.mark.real
def test_on_the_default_model_it_is_the_loss_of_an_ablated_pass(smollm2):
    examples = written(smollm2.tokenizer, end="<|im_end|>")[::3]
    heads = [(layer, layer % 9) for layer in range(0, 30, 3)]
    scores, intact = exact_attribution(smollm2, examples, heads=heads, neurons=[(12, 7)]), loss(smollm2, examples)
    for layer, head in heads[::4]:
        with ablated(smollm2, Circuit(heads=[(layer, head)])):
            rise = loss(smollm2, examples) - intact
        assert torch.allclose(scores.per_example_heads[:, layer, head], rise, atol=1e-4)
    first = attribute(smollm2, examples).per_example_heads
    measured = torch.stack([first[:, layer, head] for layer, head in heads])
    rises = torch.stack([scores.per_example_heads[:, layer, head] for layer, head in heads])
    assert torch.corrcoef(torch.stack([measured.flatten(), rises.flatten()]))[0, 1] > 0.5
