"""Ablation for good: the weights of a model in memory are set to zero, from an object or from a file of kilobytes."""

from pathlib import Path

import torch

from ..circuits import Circuit, MaskError, WeightMask, outgoing, read_provenance
from ..models.matrices import base_hash, matrices
from ..models.protocol import HookedModel
from ..store import StoreError, read_json


@torch.no_grad()
def prune(model: HookedModel, circuit: Circuit | WeightMask | str | Path) -> int:
    """Sets the weights of `circuit` to zero in place, and for good; returns how many weights that are.

        hc.prune(hc.load_model("base"), "mask.safetensors")  # the base model, pruned

    Args:
        circuit: a mask; a circuit, whose outgoing weights are meant (`outgoing`); or the file of either, saved with its origin
            (`save(path, provenance=hc.provenance(model))`), which is applied to that model alone.

    Raises:
        MaskError: a file for another model, or one that does not say for which; a matrix that the model does not have.
        CircuitError: a component that the model does not have.
        ModelError: the model's matrices cannot be found.
        StoreError: the file is missing or damaged.
    """
    if isinstance(circuit, str | Path):
        check_base(model, circuit)
        circuit = read_ablation(circuit)
    mask = outgoing(model, circuit) if isinstance(circuit, Circuit) else circuit
    mask.check(model)
    for matrix in matrices(model):
        if matrix.name in mask.indices:
            matrix.write(mask.indices[matrix.name], torch.zeros(()))
    return len(mask)


def read_ablation(path: str | Path) -> Circuit | WeightMask:
    """The circuit (JSON) or the mask (safetensors) in a file.

    Raises:
        CircuitError, MaskError, StoreError: the file is missing, damaged, or holds something else.
    """
    try:
        read_json(path)
    except StoreError:
        return WeightMask.load(path)
    return Circuit.load(path)


def check_base(model: HookedModel, path: str | Path) -> None:
    """Makes sure that the circuit or mask in a file was found in `model`.

    Raises:
        MaskError: it was found in another model (another dtype counts), or the file does not say in which.
        StoreError: the file is missing or damaged.
    """
    origin = read_provenance(path)
    if origin is None:
        raise MaskError(
            f"{path} does not say which model it is for. If you know, load it (Circuit.load, WeightMask.load) and give the "
            "object; to say so in the file, save it with provenance=hc.provenance(model)."
        )
    own = base_hash(model)
    if origin.base != own:
        raise MaskError(
            f"{path} is for the model {origin.model or 'without a name'} with the weights {origin.base}, and these are {own}: "
            "load that model, unprocessed, not pruned already, and in the dtype in which the file was made."
        )
