"""Exact attribution: the loss increase itself when one component is set to zero, many components at once.

For a component c of one example, and the loss L of its response (mean negative log-likelihood, nats per token),

    A_c = L(a_c = 0) − L,      a_c being zero at every position.

Positive: c promotes the response. First-order scores are checked against these. It costs a forward pass for each component and
example, of which much is shared (`ablation/sweep.py`). Scores of redundant components are small, and need not add up.
"""

from collections.abc import Sequence

import torch
from tqdm.auto import tqdm

from ..ablation.sweep import batched_loss_increase
from ..circuits import Circuit, Component
from ..errors import HarmcircuitsError
from ..models.protocol import HookedModel, check_finite, check_repeatable, geometry
from .metrics import BoundMetric
from .scores import Attribution


@torch.no_grad()
def exact(
    model: HookedModel,
    metric: BoundMetric,
    *,
    heads: Sequence[Component] | None = None,
    neurons: Sequence[Component] | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> Attribution:
    """Return A_c = metric(c set to zero) − metric of each named component; other components are NaN, and there are no `tokens`.

    Args:
        heads: (layer, head) pairs; None: all heads, unless `neurons` are given.
        neurons: (layer, neuron) pairs; None: none.
        batch_size: ablated rows a pass; None: as many as fit into half of a GPU's free memory, or into 1 GiB on a CPU.

    Raises:
        HarmcircuitsError: no component, or one that the model does not have; a batch size below 1.
    """
    if batch_size is not None and batch_size < 1:
        raise HarmcircuitsError(f"batch_size is {batch_size}: it counts rows, from 1")
    check_repeatable(model)
    shape = geometry(model)
    if heads is None and neurons is None:
        heads = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_heads)]
    circuit = Circuit(heads=heads or (), neurons=neurons or ())
    if not len(circuit):
        raise HarmcircuitsError("no component asked for: name some heads= or neurons=, or neither for all heads")
    circuit.check(model)
    singles = [Circuit(heads=[head]) for head in circuit.heads] + [Circuit(neurons=[neuron]) for neuron in circuit.neurons]
    with tqdm(total=len(metric.rows) * len(singles), desc="exact", unit="ablation", disable=not progress) as bar:
        _, increases = batched_loss_increase(
            model, metric.rows, singles, score=metric.score, of_logits=metric.of_logits, batch_size=batch_size,
            advance=bar.update,
        )  # fmt: skip
    of_heads, of_neurons = (
        torch.full((len(increases), shape.n_layers, size), torch.nan) for size in (shape.n_heads, shape.d_mlp)
    )
    for values, single in zip(increases.T, singles, strict=True):
        kind, scores = ("head", of_heads) if single.heads else ("neuron", of_neurons)
        ((layer, index),) = single.heads or single.neurons
        check_finite(values, what=f"the score of {kind} ({layer}, {index})", examples=range(len(values)))
        scores[:, layer, index] = values
    return Attribution(of_heads, of_neurons)
