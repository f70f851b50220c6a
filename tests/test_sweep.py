"""Many circuits in one batch: each row is what its own circuit alone makes of it."""

import pytest
import torch
from written import written

from harmcircuits.ablation import sweep as sweeps
from harmcircuits.ablation.ablate import ablated
from harmcircuits.ablation.sweep import per_row_hooks, sweep
from harmcircuits.circuits import Circuit, outgoing
from harmcircuits.data import example_rows, loss, make_batch
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.models.forward import logits_at, read_prefix
from harmcircuits.models.protocol import head_hook

CIRCUITS = [
    None,
    Circuit(heads=[(0, 1)]),
    Circuit(neurons=[(0, 5), (1, 60)]),
    Circuit(heads=[(1, 0), (1, 3)], neurons=[(1, 2)]),
]


@pytest.fixture
def batch(tiny):
    return make_batch(tiny, example_rows(tiny, written(tiny.tokenizer)))


@torch.no_grad()
def logits_of(model, batch):
    return model(batch.tokens, attention_mask=batch.attention_mask, return_type="logits")


def test_what_no_row_cuts_keeps_every_bit(tiny, batch):
    kept = {}

    def keep(activation, hook, name):
        kept[name] = activation.clone()
        return activation

    def pass_with(hooks, name):
        with tiny.hooks(fwd_hooks=[*hooks, (head_hook(0), lambda a, hook: keep(a, hook, name))]):
            logits_of(tiny, batch)
        return kept[name]

    intact = pass_with([], "intact")
    cut = pass_with(per_row_hooks(tiny, [None, Circuit(heads=[(0, 2)]), None, None]), "cut")
    assert not cut[1, :, 2].any() and intact[1, :, 2].all()
    intact[1, :, 2] = 0
    assert torch.equal(cut, intact)


def test_a_step_of_decoding_has_one_position(tiny, batch):
    tokens = batch.tokens[0, :12]
    circuits = [None, Circuit(heads=[(0, 1), (1, 1)]), Circuit(neurons=[(0, 7)])]
    with tiny.hooks(fwd_hooks=per_row_hooks(tiny, circuits)):
        whole = logits_at(tiny, tokens.repeat(3, 1), torch.ones(3, 12).long(), torch.tensor([11, 23, 35]))
    for row, circuit in enumerate(circuits):
        with ablated(tiny, circuit):
            past = read_prefix(tiny, tokens[:11]).repeated(1)
        with torch.no_grad(), tiny.hooks(fwd_hooks=per_row_hooks(tiny, [circuit])):
            step = logits_at(tiny, tokens[None, 11:], torch.ones(1, 1).long(), torch.tensor([0]), past=past)
        assert torch.allclose(step[0], whole[row], atol=1e-4)


# losses of many ablations


SWEPT = [
    Circuit(heads=[(1, layer)], neurons=[(1, 5 * layer)]) if layer % 2 else Circuit(heads=[(0, layer)], neurons=[(1, 3)])
    for layer in range(4)
]


def column(losses, name):
    return torch.tensor(losses[name].to_numpy())


@pytest.fixture(params=["rows that join at their layers", "whole rows"])
def way(request, monkeypatch):
    monkeypatch.setattr(sweeps, "FEW", 0 if request.param.startswith("rows") else 10**6)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("options", [{}, {"batch_size": 2}, {"method": "scale", "alpha": 0.5}])
def test_losses_are_those_of_each_alone(tiny, options):
    examples = written(tiny.tokenizer)
    ablations = [SWEPT[1], None, Circuit(), *SWEPT, outgoing(tiny, SWEPT[0])]
    losses = sweep(tiny, ablations, examples, **options)
    assert [*sweep(tiny, {"at 1": SWEPT[1]}, examples[:1], **options)] == ["at 1"]
    how = {name: value for name, value in options.items() if name != "batch_size"}
    assert losses.shape == (len(examples), len(ablations)) and losses.columns[:3].tolist() == [
        "circuit 0",
        "baseline",
        "circuit 2",
    ]
    for name, ablation in zip(losses, ablations, strict=True):
        with ablated(tiny, ablation, **how):
            assert torch.allclose(column(losses, name), loss(tiny, examples), atol=1e-5)
    assert losses["baseline"].equals(losses["circuit 2"].rename("baseline"))
    assert (losses["circuit 0"] - losses["baseline"]).abs().max() > 1e-2


def test_what_cannot_be_swept(tiny):
    examples = written(tiny.tokenizer)
    for circuits, of in (([], examples), ([None], [])):
        with pytest.raises(HarmcircuitsError, match="give at least one ablation"):
            sweep(tiny, circuits, of)
    for circuits, options, message in (
        ([None], {"method": "median"}, "method 'median' is unknown"),
        ([None], {"batch_size": 0}, "one row a pass"),
        ([[SWEPT[0]]], {}, "an ablation is a Circuit"),
    ):
        with pytest.raises(HarmcircuitsError, match=message):
            sweep(tiny, circuits, examples, **options)
    with pytest.raises(HarmcircuitsError, match=r"head \(5, 0\) is not in this model"):
        sweep(tiny, [None, Circuit(heads=[(5, 0)])], examples)
