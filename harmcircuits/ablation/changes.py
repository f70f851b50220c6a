"""What an ablation makes of a component's activation a, at every position of every row:

    zero       0
    scale      α · a
    mean       the mean of a over all positions of the reference examples: a vector for a head, a number for a neuron
    resample   a at one position of one reference example, drawn once: the same position for all components of a circuit, so
               that they fit together. Over draws its mean is the one of "mean"

None of them depends on the pass that is changed: rows, positions and steps of decoding stay independent of each other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from math import isfinite
from operator import or_
from random import Random
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..circuits import Circuit, by_layer
from ..data import Example, Row, batched, example_rows, make_batch, row_length
from ..models.protocol import Hook, HookedModel, device_of, head_hook, logits_at, neuron_hook

Method = Literal["zero", "scale", "mean", "resample"]


class AblationError(ValueError):
    """An ablation that cannot be made; the message says what is missing and what to give."""


@dataclass(frozen=True, eq=False)
class Change:
    """a → `factor` · a where there are no values, else a → the value, for the components of one circuit in their order."""

    factor: float = 0.0
    heads: Float[Tensor, "head d_head"] | None = None
    neurons: Float[Tensor, " neuron"] | None = None

    def values(self, kind: str) -> Tensor | None:
        return self.heads if kind == "heads" else self.neurons


ZERO = Change()


def change_of(
    model: HookedModel,
    circuit: Circuit,
    *,
    method: Method,
    alpha: float | None = None,
    reference: Sequence[Example] | None = None,
    seed: int = 0,
) -> Change:
    """What `method` makes of the activations of `circuit`'s components; see `ablated`.

    Raises:
        AblationError: an unknown method, or one without what it needs.
        CircuitError: a component that the model does not have.
    """
    check_method(method, alpha=alpha, reference=reference)
    if method == "zero" or not len(circuit):
        return ZERO
    if method == "scale":
        return Change(factor=float(alpha or 0.0))
    circuit.check(model)
    rows = example_rows(model, reference or ())
    return _mean(model, circuit, rows) if method == "mean" else _drawn(model, circuit, rows, seed)


def changes_of(
    model: HookedModel,
    circuits: Sequence[Circuit],
    *,
    method: Method,
    alpha: float | None = None,
    reference: Sequence[Example] | None = None,
    seed: int = 0,
) -> list[Change]:
    """`change_of` each of `circuits`, the reference being read once for all of them."""
    whole = reduce(or_, circuits, Circuit())
    change = change_of(model, whole, method=method, alpha=alpha, reference=reference, seed=seed)
    if change.heads is None or change.neurons is None:
        return [change] * len(circuits)
    head, neuron = ({component: at for at, component in enumerate(items)} for items in (whole.heads, whole.neurons))
    pick = lambda values, places, items: values[torch.tensor([places[item] for item in items], dtype=torch.long)]
    return [
        Change(heads=pick(change.heads, head, own.heads), neurons=pick(change.neurons, neuron, own.neurons)) for own in circuits
    ]


def check_method(method: str, *, alpha: float | None, reference: Sequence[Example] | None) -> None:
    """Raises AblationError unless `method` has what it needs, and nothing that it would ignore."""
    if method not in get_args(Method):
        raise AblationError(f"method {method!r} is unknown: choose one of {', '.join(get_args(Method))}")
    if (method == "scale") != (alpha is not None):
        raise AblationError(
            "method='scale' needs alpha=, the number that activations are multiplied by (0 off, 1 as they are)"
            if method == "scale"
            else f"alpha={alpha} means nothing with method={method!r}: give method='scale', or leave it out"
        )
    if alpha is not None and not (isinstance(alpha, int | float) and isfinite(alpha)):
        raise AblationError(f"alpha must be a finite number, not {alpha!r}")
    reads = method in ("mean", "resample")
    if reads != bool(reference):
        raise AblationError(
            f"method={method!r} needs reference=, examples whose activations stand in for the model's own (hc.elicit)"
            if reads
            else f"a reference means nothing with method={method!r}: give method='mean' or 'resample', or leave it out"
        )


def _mean(model: HookedModel, circuit: Circuit, rows: Sequence[Row]) -> Change:
    """Summed in float64: the mean of a constant is that constant."""
    heads = neurons = torch.zeros((), dtype=torch.float64)
    for some_heads, some_neurons in _activations(model, circuit, rows):
        heads = heads + some_heads.double().sum(0).cpu()
        neurons = neurons + some_neurons.double().sum(0).cpu()
    total = sum(map(row_length, rows))
    return Change(heads=(heads / total).float(), neurons=(neurons / total).float())


def _drawn(model: HookedModel, circuit: Circuit, rows: Sequence[Row], seed: int) -> Change:
    """Each position of each example is as likely as any other."""
    random = Random(f"resample {seed}")
    row = random.choices(rows, weights=[row_length(row) for row in rows])[0]
    position = random.randrange(row_length(row))
    (heads, neurons), *_ = _activations(model, circuit, [row])
    return Change(heads=heads[position].float().cpu(), neurons=neurons[position].float().cpu())


@torch.no_grad()
def _activations(
    model: HookedModel, circuit: Circuit, rows: Sequence[Row], *, batch_size: int = 16
) -> Iterator[tuple[Float[Tensor, "pos head d_head"], Float[Tensor, "pos neuron"]]]:
    """Of each batch of rows: activations of the circuit's heads and neurons at all its positions but padding."""
    for indices in batched(rows, batch_size=batch_size, length=row_length):
        batch = make_batch(model, [rows[index] for index in indices])
        real = batch.attention_mask.bool()
        kept: dict[str, list[Tensor]] = {"heads": [], "neurons": []}
        with model.hooks(fwd_hooks=_keepers(circuit, real, kept)):
            logits_at(model, batch.tokens, batch.attention_mask, batch.positions[:1])
        empty, first = [torch.empty(int(real.sum()), 0)], device_of(model)  # layers may lie on several devices
        heads, neurons = (torch.cat([part.to(first) for part in kept[kind] or empty], 1) for kind in ("heads", "neurons"))
        yield heads, neurons


def _keepers(circuit: Circuit, real: Bool[Tensor, "b pos"], kept: dict[str, list[Tensor]]) -> list[Hook]:
    """Hooks that add the activations of a layer's components, [real position, component, …], to `kept`."""

    def keep(into: list[Tensor], indices: Sequence[int], activation: Tensor, hook: object) -> Tensor:
        into.append(activation[real.to(activation.device)][:, list(indices)])
        return activation

    return [
        (name_of(layer), partial(keep, kept[kind], indices))
        for kind, name_of, items in (("heads", head_hook, circuit.heads), ("neurons", neuron_hook, circuit.neurons))
        for layer, indices in by_layer(items).items()
    ]
