"""The eligible weight matrices of a model: the only place that knows fused, tied and grouped matrix names.

Eligible is every linear layer of the decoder blocks: `attn.q`, `attn.k`, `attn.v`, `attn.o`, `mlp.gate` (gated MLPs only),
`mlp.in`, `mlp.out`. Never embeddings, unembedding, norms, biases. Heads are concatenated; grouped keys and values count once.

A matrix is called `blocks.{layer}.{kind}` and oriented **[out, in]**, whatever the model's class: y = W x. So a mask found on a
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

from .protocol import WORKING_MODELS, HookedModel, ModelError

KINDS = ("attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate", "mlp.in", "mlp.out")
_OPTIONAL = "mlp.gate"
_STORED = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@dataclass(frozen=True, eq=False)
class Tap:
    """A tensor that passes a module: its input (`at="in"`), its output (`"out"`), or the argument of that name."""

    module: Module
    at: str

    def listen(self, take: Callable[[Tensor], None]) -> RemovableHandle:
        """Call `take` with the tensor in every forward pass until the handle is removed: outputs after, inputs before others'
        hooks."""
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
        source: where the linear layer's input x can be seen, [batch, pos, …in].
        sink: where its output y can be seen: ∂L/∂W = Σ over batch and positions of (∂L/∂y) xᵀ.
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
        """The weights in the canonical orientation; a view of them where the storage allows it."""
        return self._view().reshape(self.shape)

    @torch.no_grad()
    def read(self, flat: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """A copy of the weights at the indices row · in + column."""
        return self._view()[self._place(flat)]

    @torch.no_grad()
    def write(self, flat: Int[Tensor, " n"], values: Float[Tensor, "..."]) -> None:
        """Changes the parameter in place; `values` may be one for all."""
        view = self._view()
        view[self._place(flat)] = values.to(view)

    def _view(self) -> Tensor:
        return self.parameter.detach().permute(self.order)

    def _place(self, flat: Int[Tensor, " n"]) -> tuple[Tensor, ...]:
        return torch.unravel_index(flat.to(self.parameter.device), [self.parameter.shape[axis] for axis in self.order])


def matrices(model: HookedModel) -> list[Matrix]:
    """Every eligible matrix of `model`, by layer and kind.

    Raises:
        ModelError: a layer's matrices cannot be found (mixture of experts, state space), are quantised or adapted, or are not
            all known here; or the configuration computes with something else than one matrix a kind.
    """
    every: list[Matrix] = []
    blocks: Any = getattr(model, "blocks", None)
    if not blocks:
        raise ModelError(f"the model has no decoder blocks (`.blocks`), whose matrices could be scored. {WORKING_MODELS}")
    for layer, block in enumerate(blocks):
        hooked = hasattr(block, "attn") and "W_O" in block.attn._parameters
        own = _hooked(model, layer, block) if hooked else _bridged(layer, block)
        _check(layer, block, own)
        every += own
    if len({id(matrix.parameter) for matrix in every}) < len(every):
        raise ModelError("layers of this model share their weights: one weight would have several scores. " + WORKING_MODELS)
    return every


def _bridged(layer: int, block: Any) -> list[Matrix]:
    """Those of a `TransformerBridge`: each kind is a module around a `Linear` or a `Conv1D`."""
    own = []
    for kind in KINDS:
        part, _, name = kind.partition(".")
        component = getattr(getattr(block, part, None), name, None)
        if component is None and kind == _OPTIONAL:
            continue
        linear = getattr(component, "original_component", component)
        weight = getattr(linear, "weight", None)
        if not isinstance(weight, Parameter) or not isinstance(linear, Linear | Conv1D):
            raise ModelError(
                f"layer {layer} has no linear layer {kind!r} (there is {type(linear).__name__}): its matrices cannot be found. "
                f"Mixtures of experts, state spaces, and quantised or adapted layers do not work. {WORKING_MODELS}"
            )
        order = (1, 0) if isinstance(linear, Conv1D) else (0, 1)
        own.append(Matrix(layer, kind, weight, order, 1, Tap(linear, "in"), Tap(linear, "out")))
    return own


def _hooked(model: HookedModel, layer: int, block: Any) -> list[Matrix]:
    """Those of a `HookedTransformer`: parameters of `attn` and `mlp`, with hook points around them."""
    for setting in ("use_attn_in", "use_split_qkv_input", "use_attn_result", "ungroup_grouped_query_attention", "load_in_4bit"):
        if getattr(model.cfg, setting, False):
            raise ModelError(f"cfg.{setting} is on: the model does not compute with one matrix a kind. Switch it off.")
    attention, mlp = block.attn, getattr(block, "mlp", None)
    if mlp is None or "W_in" not in mlp._parameters or not hasattr(mlp, "hook_pre"):
        raise ModelError(
            f"layer {layer} has no matrices W_in and W_out in its MLP. Mixtures of experts do not work. {WORKING_MODELS}"
        )
    gated = "W_gate" in mlp._parameters
    grouped = "_" if "_W_K" in attention._parameters else ""
    per_head = {"order": (0, 2, 1), "split": 2}  # [head, d_model, d_head] → [head · d_head, d_model]
    transposed = {"order": (1, 0), "split": 1}  # [in, out] → [out, in]
    layout: dict[str, tuple[Module, str, Tap, Tap, dict[str, Any]]] = {
        "attn.q": (attention, "W_Q", Tap(attention, "query_input"), Tap(attention.hook_q, "in"), per_head),
        "attn.k": (attention, f"{grouped}W_K", Tap(attention, "key_input"), Tap(attention.hook_k, "in"), per_head),
        "attn.v": (attention, f"{grouped}W_V", Tap(attention, "value_input"), Tap(attention.hook_v, "in"), per_head),
        "attn.o": (attention, "W_O", Tap(attention.hook_z, "out"), Tap(attention, "out"), {"order": (2, 0, 1), "split": 1}),
        "mlp.in": (mlp, "W_in", Tap(mlp, "in"), Tap(mlp.hook_pre_linear if gated else mlp.hook_pre, "in"), transposed),
        "mlp.out": (mlp, "W_out", Tap(mlp.hook_post, "out"), Tap(mlp, "out"), transposed),
    }
    if gated:
        layout["mlp.gate"] = (mlp, "W_gate", Tap(mlp, "in"), Tap(mlp.hook_pre, "in"), transposed)
    return [
        Matrix(layer, kind, module._parameters[name], source=source, sink=sink, **axes)  # type: ignore[arg-type]
        for kind in KINDS
        if kind in layout
        for module, name, source, sink, axes in [layout[kind]]
    ]


def _check(layer: int, block: Any, own: list[Matrix]) -> None:
    """Every matrix of the block is known, stored as floating-point numbers; only stale fused copies are left out."""
    size = {matrix.kind: matrix.parameter.numel() for matrix in own}
    for matrix in own:
        if matrix.parameter.dtype not in _STORED:
            raise ModelError(f"{matrix.name} is stored as {matrix.parameter.dtype}, quantised: load the model unquantised.")
    fused = {size["attn.q"] + size["attn.k"] + size["attn.v"]}
    if _OPTIONAL in size:
        fused.add(size[_OPTIONAL] + size["mlp.in"])
    known = {id(matrix.parameter) for matrix in own}
    for name, parameter in block.named_parameters():
        bias = name.rpartition(".")[2].lstrip("_").startswith("b_")  # a HookedTransformer's are [head, d_head]
        if parameter.dim() > 1 and id(parameter) not in known and parameter.numel() not in fused and not bias:
            short = name.replace("_original_component.", "")
            raise ModelError(
                f"layer {layer} has a matrix {short!r} of shape {tuple(parameter.shape)} that is not known here: scores would "
                f"leave it out. Merge adapters into the model first. {WORKING_MODELS}"
            )
