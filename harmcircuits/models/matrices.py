"""The eligible weight matrices of a model: the only place that knows fused, tied and grouped matrix names.

Eligible is every linear layer of the decoder blocks: `attn.q`, `attn.k`, `attn.v`, `attn.o`, `mlp.gate` (gated MLPs only),
`mlp.in`, `mlp.out`. Never embeddings, unembedding, norms, biases. Heads are concatenated; grouped keys and values count once.

A matrix is called `blocks.{layer}.{kind}` and oriented **[out, in]** (y = W x) in either model class, so that a mask of a
`TransformerBridge` applies to a `HookedTransformer` of the same weights. Where transformers fuses queries, keys and values
(GPT-2, GPT-NeoX) or gate and input (Phi-3), TransformerLens computes with separate matrices and the fused one is a stale copy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Linear, Module, Parameter
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

from ..errors import HarmcircuitsError
from .protocol import WORKING_MODELS, HookedModel

KINDS = ("attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate", "mlp.in", "mlp.out")
_OPTIONAL = "mlp.gate"
_STORED = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True, eq=False)
class Tap:
    """A tensor that passes a module: its input (`at="in"`), its output (`"out"`), or the argument of that name."""

    module: Module
    at: str

    def listen(self, take: Callable[[Tensor], None]) -> RemovableHandle:
        """Call `take` in every forward pass until the handle is removed: with outputs after, with inputs before other hooks."""
        if self.at == "out":
            return self.module.register_forward_hook(lambda module, args, output: take(output))
        return self.module.register_forward_pre_hook(
            lambda module, args, named: take(named[self.at] if self.at in named else args[0]), with_kwargs=True, prepend=True
        )


@dataclass(frozen=True, eq=False)
class Matrix:
    """One eligible matrix.

    Attributes:
        parameter: the live parameter, that the model computes with.
        order: the parameter's axes, those of the rows (outputs) first.
        split: how many of them are rows.
        source: the place of the linear layer's input x, [batch, pos, …in].
        sink: the place of its output y: ∂L/∂W = Σ over batch and positions of (∂L/∂y) xᵀ.
    """

    layer: int
    kind: str
    parameter: Parameter
    order: tuple[int, ...]
    split: int
    source: Tap
    sink: Tap

    @property
    def name(self) -> str:
        return f"blocks.{self.layer}.{self.kind}"

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        sizes = [self.parameter.shape[axis] for axis in self.order]
        return prod(sizes[: self.split]), prod(sizes[self.split :])

    def values(self) -> Float[Tensor, "out in"]:
        """Return the weights in the canonical orientation; a view where the storage allows it."""
        return self._view().reshape(self.shape)

    @torch.no_grad()
    def read(self, flat: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Copy the weights at the indices row · in + column."""
        return self._view()[self._place(flat)]

    @torch.no_grad()
    def write(self, flat: Int[Tensor, " n"], values: Float[Tensor, "..."]) -> None:
        """Change the parameter in place; `values` may be one for all."""
        view = self._view()
        view[self._place(flat)] = values.to(view)

    def _view(self) -> Tensor:
        return self.parameter.detach().permute(self.order)

    def _place(self, flat: Int[Tensor, " n"]) -> tuple[Tensor, ...]:
        return torch.unravel_index(flat.to(self.parameter.device), [self.parameter.shape[axis] for axis in self.order])


def matrices(model: HookedModel) -> list[Matrix]:
    """Return every eligible matrix of `model`, by layer and kind.

    Raises HarmcircuitsError where they cannot be found (mixture of experts, state space), are quantised, adapted, shared or
    unknown,
    or where the model computes with something else than one matrix a kind.
    """
    blocks: Any = getattr(model, "blocks", None)
    if not blocks:
        raise HarmcircuitsError(
            f"the model has no decoder blocks (`.blocks`), whose matrices could be scored. {WORKING_MODELS}"
        )
    every: list[Matrix] = []
    for layer, block in enumerate(blocks):
        hooked = hasattr(block, "attn") and "W_O" in block.attn._parameters
        in_layer = _hooked(model, layer, block) if hooked else _bridged(layer, block)
        _check(layer, block, in_layer)
        every += in_layer
    if len({id(matrix.parameter) for matrix in every}) < len(every):
        raise HarmcircuitsError(
            "layers of this model share their weights: one weight would have several scores. " + WORKING_MODELS
        )
    return every


def _bridged(layer: int, block: Any) -> list[Matrix]:
    """Those of a `TransformerBridge`: each kind is a module around a `Linear` or a `Conv1D`."""
    in_layer = []
    for kind in KINDS:
        part, _, name = kind.partition(".")
        component = getattr(getattr(block, part, None), name, None)
        if component is None and kind == _OPTIONAL:
            continue
        linear = getattr(component, "original_component", component)
        weight = getattr(linear, "weight", None)
        if not isinstance(weight, Parameter) or not isinstance(linear, Linear | Conv1D):
            raise HarmcircuitsError(
                f"layer {layer} has no linear layer {kind!r} (there is {type(linear).__name__}): its matrices cannot be found. "
                f"Mixtures of experts, state spaces, and quantised or adapted layers do not work. {WORKING_MODELS}"
            )
        order = (1, 0) if isinstance(linear, Conv1D) else (0, 1)
        in_layer.append(Matrix(layer, kind, weight, order, 1, Tap(linear, "in"), Tap(linear, "out")))
    return in_layer


def _hooked(model: HookedModel, layer: int, block: Any) -> list[Matrix]:
    """Those of a `HookedTransformer`: parameters of `attn` and `mlp`, with hook points around them."""
    for setting in ("use_attn_in", "use_split_qkv_input", "use_attn_result", "ungroup_grouped_query_attention", "load_in_4bit"):
        if getattr(model.cfg, setting, False):
            raise HarmcircuitsError(f"cfg.{setting} is on: the model does not compute with one matrix a kind. Switch it off.")
    attention, mlp = block.attn, getattr(block, "mlp", None)
    if mlp is None or "W_in" not in mlp._parameters or not hasattr(mlp, "hook_pre"):
        raise HarmcircuitsError(
            f"layer {layer} has no matrices W_in and W_out in its MLP. Mixtures of experts do not work. {WORKING_MODELS}"
        )
    gated = "W_gate" in mlp._parameters
    grouped = "_" if "_W_K" in attention._parameters else ""
    per_head = ((0, 2, 1), 2)  # [head, d_model, d_head] → [head · d_head, d_model]
    transposed = ((1, 0), 1)  # [in, out] → [out, in]
    layout: dict[str, tuple[Module, str, tuple[tuple[int, ...], int], Tap, Tap]] = {
        "attn.q": (attention, "W_Q", per_head, Tap(attention, "query_input"), Tap(attention.hook_q, "in")),
        "attn.k": (attention, f"{grouped}W_K", per_head, Tap(attention, "key_input"), Tap(attention.hook_k, "in")),
        "attn.v": (attention, f"{grouped}W_V", per_head, Tap(attention, "value_input"), Tap(attention.hook_v, "in")),
        "attn.o": (attention, "W_O", ((2, 0, 1), 1), Tap(attention.hook_z, "out"), Tap(attention, "out")),
        "mlp.gate": (mlp, "W_gate", transposed, Tap(mlp, "in"), Tap(mlp.hook_pre, "in")),
        "mlp.in": (mlp, "W_in", transposed, Tap(mlp, "in"), Tap(mlp.hook_pre_linear if gated else mlp.hook_pre, "in")),
        "mlp.out": (mlp, "W_out", transposed, Tap(mlp.hook_post, "out"), Tap(mlp, "out")),
    }
    return [
        Matrix(layer, kind, module._parameters[name], *axes, source, sink)  # type: ignore[arg-type]
        for kind, (module, name, axes, source, sink) in layout.items()
        if gated or kind != _OPTIONAL
    ]


def _check(layer: int, block: Any, in_layer: list[Matrix]) -> None:
    """Raise HarmcircuitsError for a quantised matrix, and for one that is neither known nor a stale fused copy."""
    size = {matrix.kind: matrix.parameter.numel() for matrix in in_layer}
    for matrix in in_layer:
        if matrix.parameter.dtype not in _STORED:
            raise HarmcircuitsError(
                f"{matrix.name} is stored as {matrix.parameter.dtype}, quantised: load the model unquantised."
            )
    fused = [size["attn.q"] + size["attn.k"] + size["attn.v"]]
    if _OPTIONAL in size:
        fused.append(size[_OPTIONAL] + size["mlp.in"])
    known = {id(matrix.parameter) for matrix in in_layer}
    for name, parameter in block.named_parameters():
        bias = name.rpartition(".")[2].lstrip("_").startswith("b_")  # a HookedTransformer's are [head, d_head]
        if parameter.dim() > 1 and id(parameter) not in known and parameter.numel() not in fused and not bias:
            short = name.replace("_original_component.", "")
            raise HarmcircuitsError(
                f"layer {layer} has a matrix {short!r} of shape {tuple(parameter.shape)} that is not known here: scores would "
                f"leave it out. Merge adapters into the model first. {WORKING_MODELS}"
            )
