"""Many ablations over the same examples: the losses that each gives alone."""

import pytest
import torch
from written import written

from harmcircuits.ablation import batched
from harmcircuits.ablation.ablate import AblationError, ablated
from harmcircuits.ablation.sweep import sweep
from harmcircuits.circuits import Circuit, CircuitError, outgoing
from harmcircuits.data import loss

CIRCUITS = [
    Circuit(heads=[(1, layer)], neurons=[(1, 5 * layer)]) if layer % 2 else Circuit(heads=[(0, layer)], neurons=[(1, 3)])
    for layer in range(4)
]


@pytest.fixture(params=["rows that join at their layers", "whole rows"])
def way(request, monkeypatch):
    monkeypatch.setattr(batched, "FEW", 0 if request.param.startswith("rows") else 10**6)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("batch_size", [None, 2])
def test_losses_are_those_of_each_alone(tiny, batch_size):
    examples = written(tiny.tokenizer)
    ablations = [CIRCUITS[1], None, Circuit(), *CIRCUITS, outgoing(tiny, CIRCUITS[0])]
    found = sweep(tiny, ablations, examples, batch_size=batch_size)
    assert found.shape == (len(ablations), len(examples))
    for own, ablation in zip(found, ablations, strict=True):
        with ablated(tiny, ablation):
            assert torch.allclose(own, loss(tiny, examples), atol=1e-5)
    assert torch.equal(found[1], found[2]) and not torch.allclose(found[0], found[1], atol=1e-2)


@pytest.mark.usefixtures("way")
def test_scaled(tiny):
    examples, options = written(tiny.tokenizer), {"method": "scale", "alpha": 0.5}
    found = sweep(tiny, [None, *CIRCUITS], examples, **options)
    for own, circuit in zip(found[1:], CIRCUITS, strict=True):
        with ablated(tiny, circuit, **options):
            assert torch.allclose(own, loss(tiny, examples), atol=1e-5)
    assert torch.allclose(found[0], loss(tiny, examples), atol=1e-5)


def test_what_cannot_be_swept(tiny):
    examples = written(tiny.tokenizer)
    for circuits, of in (([], examples), ([None], [])):
        with pytest.raises(AblationError, match="nothing to measure"):
            sweep(tiny, circuits, of)
    for circuits, options, message in (
        ([None], {"method": "median"}, "method 'median' is unknown"),
        ([None], {"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ([[CIRCUITS[0]]], {}, "an ablation is a Circuit"),
    ):
        with pytest.raises(AblationError, match=message):
            sweep(tiny, circuits, examples, **options)
    with pytest.raises(CircuitError, match=r"head \(5, 0\) is not in this model"):
        sweep(tiny, [None, Circuit(heads=[(5, 0)])], examples)
