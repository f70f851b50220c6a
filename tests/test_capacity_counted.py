"""What commands would cost, against the FLOPs that PyTorch counts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_bridge
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from written import written

from harmcircuits.attribution.activations import attribute
from harmcircuits.attribution.weights import attribute_weights
from harmcircuits.capacity.work import Rows, attribution, forward, weight_attribution
from harmcircuits.examples import example_rows, loss, row_length
from harmcircuits.models.shape import shape_of


class _Counter(TorchDispatchMode):
    """FLOPs of every product of matrices, whatever calls it."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket in flop_registry:
            self.total += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=result)
        return result


def counted(step: Callable[[], object]) -> int:
    with _Counter() as counter:
        step()
    return counter.total


@pytest.mark.model
def test_flops_are_those_that_pytorch_counts(tmp_path: Path) -> None:
    """Of matrix products, nearly all there is; rotations make a thousandth beside them."""
    model = tiny_bridge(tmp_path / "tiny")
    shape, one = shape_of(model.original_model.config), written(model.tokenizer)[0]
    (row,) = example_rows(model, [one])
    rows = Rows(n=4, length=row_length(row), asked=row.stop - row.start, batch=4)
    passes = (
        (lambda: loss(model, [one]), forward(shape, replace(rows, n=1), element=4)),
        (lambda: attribute(model, [one] * 4), attribution(shape, rows, element=4)),
        (lambda: attribute_weights(model, [one] * 4), weight_attribution(shape, rows, element=4, absolute=True)),
    )
    for step, expected in passes:
        assert counted(step) == pytest.approx(expected.flops, rel=2e-3)


@pytest.mark.model
def test_no_term_is_quadratic_in_components(tmp_path: Path) -> None:
    """Second differences of what PyTorch counts are 0 in heads and in neurons, whose widths are held."""
    for part, sizes in (("n_heads", (4, 8, 12)), ("d_mlp", (64, 128, 192))):
        found = []
        for size in sizes:
            model = tiny_bridge(tmp_path / f"{part}-{size}", **{"d_model": 48, part: size}, head_dim=8)
            found.append(counted(lambda model=model: attribute(model, written(model.tokenizer)[:1])))
        assert found[2] - found[1] == found[1] - found[0] > 0, part
