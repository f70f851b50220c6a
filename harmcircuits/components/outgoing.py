"""The weights through which a circuit's components act: zero there is zero in their activations."""

import torch

from ..models.matrices import matrices
from ..models.protocol import HookedModel, geometry
from .circuit import Circuit, by_layer
from .mask import WeightMask


def outgoing(model: HookedModel, circuit: Circuit) -> WeightMask:
    """Every weight that reads a head of `circuit` (its columns of `attn.o`) or a neuron (its column of `mlp.out`).

    With these at 0 the model computes what it does with the components' activations at 0: `ablated(model, circuit)` and
    `ablated(model, outgoing(model, circuit))` are the same model.

    Raises:
        CircuitError: a component that the model does not have.
        ModelError: the model's matrices cannot be found.
    """
    circuit.check(model)
    width = geometry(model).d_head
    columns: dict[str, list[int]] = {}
    for layer, heads in by_layer(circuit.heads).items():
        columns[f"blocks.{layer}.attn.o"] = [head * width + at for head in heads for at in range(width)]
    for layer, neurons in by_layer(circuit.neurons).items():
        columns[f"blocks.{layer}.mlp.out"] = neurons
    shapes = {matrix.name: matrix.shape for matrix in matrices(model)}
    return WeightMask(
        indices={
            name: (torch.arange(shapes[name][0])[:, None] * shapes[name][1] + torch.tensor(own)).flatten()
            for name, own in columns.items()
        },
        shapes=shapes,
    )
