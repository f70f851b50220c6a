"""Ablation: circuits by hooks, which leave the parameters alone; weight masks and checkpoints in place, with an exact undo.

What becomes of an activation a, at every position of every row:

    zero     0
    scale    α · a
    mean     the mean of a over all positions of the reference examples: a vector for a head, a number for a neuron

A weight becomes 0 (zero) or α times what it was (scale). Rows, positions and steps of decoding stay independent.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial, reduce
from math import isfinite
from operator import or_
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from .. import store
from ..circuits import Circuit, WeightMask
from ..data import Example, batched, example_rows, make_batch
from ..errors import HarmcircuitsError
from ..models.checkpoint import Checkpoint
from ..models.forward import logits_at
from ..models.protocol import Hook, HookedModel
from .in_place import weights_replaced, weights_scaled


@dataclass(frozen=True, eq=False)
class Hooks:
    """Functions at hook points, as `run_with_hooks` takes them.

    Attributes:
        functions: pairs of a hook point's name and `function(activation, hook)`.
        label: what values in a cache are known by: another one for other functions. "": they are never cached.
    """

    functions: tuple[Hook, ...]
    label: str = ""

    def __len__(self) -> int:
        return len(self.functions)

    @property
    def key(self) -> str | None:
        """A digest of hook points and label; None without a label."""
        return store.digest(["hooks", self.label, [name for name, _ in self.functions]]) if self.label else None

    def check(self, model: HookedModel) -> None:
        """Raise HarmcircuitsError where the model has no hook point of that name."""
        if absent := [name for name, _ in self.functions if name not in model.hook_dict]:
            raise HarmcircuitsError(f"the model has no hook point {absent[0]!r}: model.hook_dict lists them")


Ablation = Circuit | WeightMask | None
"""What is ablated; None: nothing."""
Intervention = Ablation | Hooks | Checkpoint
"""An ablation, or what else can be put in force."""
Method = Literal["zero", "scale", "mean"]
BASELINE = "baseline"


@contextmanager
def ablated(
    model: HookedModel,
    circuit: Intervention | Sequence[Intervention],
    *,
    method: Method = "zero",
    alpha: float | None = None,
    reference: Sequence[Example] | None = None,
) -> Iterator[HookedModel]:
    """Inside, every component of `circuit` is ablated; outside, the model is as it was, also after an exception.

        with hc.ablated(model, [circuit, mask], method="scale", alpha=0.5): ...
        with hc.ablated(model, circuit, method="mean", reference=benign): ...

    Contexts nest: the union is ablated. Your own hooks stay; those added later see the ablated activations. A `WeightMask`
    changes the weights themselves, which get every bit back; use gradients of these weights inside. A checkpoint's weights take
    the place of the model's, which are put back; circuits and masks are then ablated in the checkpoint.

    Args:
        circuit: a `Circuit`, a `WeightMask`, None, or a list of them, whose union is ablated; `condition.ablation` of a
            `Condition` with hooks or with another checkpoint.
        method: see the module; "mean" is for activations alone.
        alpha: the factor of "scale": 0 is "zero", 1 leaves every bit as it is.
        reference: examples of "mean", read when the context is entered.

    Raises:
        HarmcircuitsError: an unknown method, or one without what it needs; a component that the model does not have; a matrix
            that the model does not have, or of another shape; a layer without `hook_z` or `hook_post`; a checkpoint of another
            architecture, tokenizer or type.
    """
    check_method(method, alpha=alpha, reference=reference)
    parts = parts_of(circuit)
    union = reduce(or_, (part for part in parts if isinstance(part, Circuit)), Circuit())
    masks = [part for part in parts if isinstance(part, WeightMask)]
    added = [part for part in parts if isinstance(part, Hooks)]
    checkpoints = [part for part in parts if isinstance(part, Checkpoint)]
    if masks and method == "mean":
        raise HarmcircuitsError("method='mean' is for activations: a weight can be set to zero or scaled")
    if len(checkpoints) > 1 or (method != "zero" and (added or checkpoints)):
        raise HarmcircuitsError("one checkpoint at a time, and method= is for circuits and masks: leave it out")
    with ExitStack() as stack:
        for checkpoint in checkpoints:
            stack.enter_context(weights_replaced(model, checkpoint))
        if method == "mean":
            hooks = _mean_hooks(model, union, reference or ())
        else:
            hooks = union.hooks(model) if method == "zero" else _scale_hooks(model, union, float(alpha or 0.0))
        if masks:
            stack.enter_context(weights_scaled(model, reduce(or_, masks), alpha or 0.0))
        for part in added:
            part.check(model)
            hooks += part.functions
        if hooks:
            stack.enter_context(model.hooks(fwd_hooks=hooks))
        yield model


@dataclass(frozen=True, eq=False)
class Condition:
    """An ablation by name, or another intervention; without one, the baseline.

        hc.Condition("heads", circuit)
        hc.Condition.from_hooks("steered", [("blocks.5.hook_resid_post", steer)], label="steer by 4")
        hc.Condition.from_checkpoint("path/to/tuned")

    Attributes:
        name: what tables call it.
        ablation: heads and neurons, single weights, hooks, a checkpoint, or None.
        method: "zero" or "scale".
        alpha: the factor of "scale".
        labels: where it comes from, such as `{"component": "heads", "control": "random"}`.

    >>> Condition("heads", Circuit(heads=[(0, 1)])).size
    1
    """

    name: str
    ablation: Intervention = None
    method: Method = "zero"
    alpha: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_hooks(cls, name: str, fwd_hooks: Sequence[Hook], *, label: str = "") -> "Condition":
        """Return the condition in which these hooks are set, as `run_with_hooks` takes them.

        Args:
            label: what values in a cache are known by, since functions cannot be compared: choose another one whenever the
                functions change. Without a label nothing of this condition is cached.
        """
        return cls(name, Hooks(tuple(fwd_hooks), label), labels={"hooks": label})

    @classmethod
    def from_checkpoint(cls, source: Any, *, name: str = "", **options: Any) -> "Condition":
        """Return the condition in which another checkpoint's weights take the place of the model's.

        It is read with the model's tokenizer, chat template and end-of-turn tokens. One copy of its weights is held, where it
        was loaded; the cache knows it by them.

        Args:
            source: what `load_model` takes: a folder, a hub id, an adapter folder of peft, a .gguf file, a transformers model.
            name: what tables call it; by default the last part of the source.
            options: those of `load_model`; `dtype` must be that of the model that it is compared with.

        Raises:
            HarmcircuitsError: see `load_model`; where it is put in force, a model of another configuration, tokenizer or type.
        """
        checkpoint = Checkpoint.load(source, **options)
        labels = {"checkpoint": checkpoint.source, "key": checkpoint.key}
        return cls(name or Path(checkpoint.source).name, checkpoint, labels=labels)

    @property
    def size(self) -> int:
        """Heads, neurons, weights or hooks in force."""
        return 0 if self.ablation is None else len(self.ablation)

    @property
    def key(self) -> str | None:
        """A digest of what is ablated and how, without names and labels; None: hooks that nothing is known of."""
        if self.ablation is None or self.size == 0:
            return BASELINE
        if isinstance(self.ablation, Circuit):
            return store.digest([self.ablation.heads, self.ablation.neurons, self.method, self.alpha])
        if not isinstance(self.ablation, WeightMask):
            return self.ablation.key
        total = hashlib.sha256(str((self.method, self.alpha, sorted(self.ablation.shapes.items()))).encode())
        for name, indices in sorted(self.ablation.indices.items()):
            total.update(f"{name} ".encode() + indices.numpy().tobytes())
        return total.hexdigest()

    def ablated(self, model: HookedModel) -> AbstractContextManager[HookedModel]:
        """Return the context in which this condition is in force."""
        return ablated(model, self.ablation, method=self.method, alpha=self.alpha)


def check_method(method: str, *, alpha: float | None = None, reference: Sequence[Example] | None = None) -> None:
    """Raise HarmcircuitsError unless `method` has the options that it needs, and no other."""
    if method not in get_args(Method):
        raise HarmcircuitsError(f"method {method!r} is unknown: choose one of {', '.join(get_args(Method))}")
    if (method == "scale") != (isinstance(alpha, int | float) and isfinite(alpha)) or (method != "scale" and alpha is not None):
        raise HarmcircuitsError(
            f"alpha={alpha!r} with method={method!r}: method='scale' takes a finite number, the others none"
        )
    if (method == "mean") != bool(reference):
        raise HarmcircuitsError(
            f"method={method!r}: method='mean' takes reference=, a list of examples (hc.elicit), the others none"
        )


def parts_of(circuit: Intervention | Sequence[Intervention]) -> list[Intervention]:
    """Return one ablation, or a sequence of them, as a list. Raises HarmcircuitsError for anything else."""
    parts: list[Any] = list(circuit) if isinstance(circuit, list | tuple) else [circuit]
    if other := [type(part).__name__ for part in parts if not isinstance(part, Intervention)]:
        raise HarmcircuitsError(f"an ablation is a Circuit, a WeightMask, None, or a list of them, not a {other[0]}")
    return parts


def _scale_hooks(model: HookedModel, circuit: Circuit, alpha: float) -> list[Hook]:
    def scale(dim: int, indices: list[int], activation: Float[Tensor, "..."], hook: object) -> Float[Tensor, "..."]:
        index = torch.tensor(indices, device=activation.device)
        return activation.index_copy(dim, index, alpha * activation.index_select(dim, index))

    circuit.check(model)
    return [(name, partial(scale, dim, indices)) for name, dim, indices in circuit.places()]


@torch.no_grad()
def _mean_hooks(model: HookedModel, circuit: Circuit, reference: Sequence[Example]) -> list[Hook]:
    """Hooks that put in means, which are summed in float64: the mean of a constant is that constant."""
    circuit.check(model)
    rows, sums = example_rows(model, reference), dict[str, Tensor]()
    real = torch.empty(0)

    def add(name: str, dim: int, indices: list[int], activation: Float[Tensor, "b pos ..."], hook: object) -> Tensor:
        chosen = activation.index_select(dim, torch.tensor(indices, device=activation.device))
        sums[name] = sums.get(name, 0) + chosen[real.to(chosen.device)].double().sum(0)
        return activation

    def replace(name: str, dim: int, indices: list[int], activation: Float[Tensor, "..."], hook: object) -> Tensor:
        index, mean = torch.tensor(indices, device=activation.device), (sums[name] / total).to(activation)
        return activation.index_copy(dim, index, mean.expand_as(activation.index_select(dim, index)))

    for indices in batched(rows, batch_size=16):
        batch = make_batch(model, [rows[index] for index in indices])
        real = batch.attention_mask.bool()
        with model.hooks(fwd_hooks=[(place[0], partial(add, *place)) for place in circuit.places()]):
            logits_at(model, batch.tokens, batch.attention_mask, batch.positions[:1])
    total = sum(map(len, rows))
    return [(place[0], partial(replace, *place)) for place in circuit.places()]
