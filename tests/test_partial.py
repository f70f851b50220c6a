"""A condition as one value: 0 is off, 1 the intact model, and what lies between."""

import math
from typing import Any

import pytest
import torch
from triples import OWN, make_mask
from written import written

from harmcircuits.ablation.changes import AblationError
from harmcircuits.ablation.hooks import ablated
from harmcircuits.ablation.partial import Partial, under, whole
from harmcircuits.components import Circuit, WeightMask
from harmcircuits.examples import loss
from harmcircuits.models.matrices import matrices
from harmcircuits.models.protocol import model_hash, vocabulary


@pytest.fixture
def mask(tiny: Any) -> WeightMask:
    return make_mask(tiny, every=7)


@pytest.fixture(params=["circuit", "mask"])
def ablation(request: pytest.FixtureRequest) -> Circuit | WeightMask:
    found: Circuit | WeightMask = OWN if request.param == "circuit" else request.getfixturevalue("mask")
    return found


@pytest.fixture
def losses(tiny: Any) -> Any:
    def read(condition: Any) -> torch.Tensor:
        with under(tiny, condition) as model:
            return loss(model, written(vocabulary(tiny)))

    return read


def test_nothing_left_is_off(tiny: Any, ablation: Circuit | WeightMask, losses: Any) -> None:
    with ablated(tiny, ablation):
        off = loss(tiny, written(vocabulary(tiny)))
    torch.testing.assert_close(losses(Partial(ablation, alpha=0.0)), off)
    torch.testing.assert_close(losses(ablation), off)
    assert not torch.allclose(off, losses(None), atol=1e-3), "it does something"


def test_all_left_is_the_intact_model_to_the_bit(ablation: Circuit | WeightMask, losses: Any) -> None:
    assert torch.equal(losses(Partial(ablation, alpha=1.0)), losses(None))


def test_half_of_a_neuron_is_half_of_its_activation(tiny: Any, losses: Any) -> None:
    """Which is to say, its weights out scaled by a half."""
    circuit = Circuit(neurons=[(1, 7)])
    shapes = {matrix.name: matrix.shape for matrix in matrices(tiny)}
    rows, columns = shapes["blocks.1.mlp.out"]
    out = WeightMask(indices={"blocks.1.mlp.out": torch.arange(rows) * columns + 7}, shapes=shapes)
    for alpha in (0.0, 0.25, 0.5):
        torch.testing.assert_close(losses(Partial(circuit, alpha)), losses(Partial(out, alpha)), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(losses(Partial(circuit, 0.5)), losses(Partial(circuit, 0.0)), atol=1e-5)


@pytest.mark.parametrize("alpha", [-0.01, 1.01, math.nan, math.inf])
def test_outside_0_and_1_is_an_error(alpha: float) -> None:
    with pytest.raises(AblationError, match=r"alpha is what is left of an activation, between 0 \(off\) and 1 \(intact\), not"):
        Partial(OWN, alpha=alpha)


def test_the_weights_are_as_they_were(tiny: Any, ablation: Circuit | WeightMask) -> None:
    before = model_hash(tiny)
    for alpha in (0.0, 0.3, 1.0):
        with under(tiny, Partial(ablation, alpha=alpha)):
            pass
        assert model_hash(tiny) == before
    with pytest.raises(ZeroDivisionError), under(tiny, Partial(ablation, alpha=0.3)):
        raise ZeroDivisionError
    assert model_hash(tiny) == before


def test_what_a_condition_is_about(mask: WeightMask) -> None:
    assert whole(None) == Circuit()
    for own in (OWN, mask):
        assert whole(own) is whole(Partial(own, alpha=0.4)) is own
