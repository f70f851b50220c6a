"""The same numbers without the package: a transformers Llama, one row at a time, whole logits, hooks of PyTorch's own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harmcircuits.data import Example, chat_frame
from harmcircuits.data.examples import prompt_ids


def ids_of(model: Any, example: Example) -> tuple[list[int], list[int]]:
    """Prompt and response of an example, laid out for a hooked model."""
    return prompt_ids(model, chat_frame(model), example.request, example.prefill), list(example.response_ids)


def logits(hf_model: Any, tokens: Sequence[int]) -> Tensor:
    """[pos, vocabulary] of one row."""
    with torch.no_grad():
        return hf_model(torch.tensor([list(tokens)])).logits[0]


def greedy(hf_model: Any, prompt: Sequence[int], n: int) -> list[int]:
    """`n` tokens after the prompt, each from a whole forward pass."""
    tokens = list(prompt)
    for _ in range(n):
        tokens.append(int(logits(hf_model, tokens)[-1].argmax()))
    return tokens[len(prompt) :]


def nll(hf_model: Any, prompt: Sequence[int], response: Sequence[int]) -> Tensor:
    """−ln p of each response token, with its graph."""
    log_p = hf_model(torch.tensor([[*prompt, *response]])).logits[0].log_softmax(-1)
    return -log_p[torch.arange(len(response)) + len(prompt) - 1, torch.tensor(list(response))]


def loss(hf_model: Any, prompt: Sequence[int], response: Sequence[int]) -> float:
    with torch.no_grad():
        return float(nll(hf_model, prompt, response).mean())


def scores(hf_model: Any, prompt: Sequence[int], response: Sequence[int], value: Any = None) -> tuple[Tensor, Tensor]:
    """−a · ∂value/∂a summed over positions of every head and neuron; `value(logits)` is by default the mean of `nll`."""
    inputs: list[Tensor] = []
    modules = [part for layer in hf_model.model.layers for part in (layer.self_attn.o_proj, layer.mlp.down_proj)]
    handles = [module.register_forward_pre_hook(lambda _, args: inputs.append(args[0])) for module in modules]
    try:
        if value is None:
            total = nll(hf_model, prompt, response).mean()
        else:
            total = value(hf_model(torch.tensor([[*prompt, *response]])).logits[0])
    finally:
        for handle in handles:
            handle.remove()
    gradients = torch.autograd.grad(total, inputs)
    products = [-(a * g).detach()[0] for a, g in zip(inputs, gradients, strict=True)]
    n_heads = hf_model.config.num_attention_heads
    heads = [product.reshape(len(product), n_heads, -1).sum((0, 2)) for product in products[::2]]
    return torch.stack(heads), torch.stack([product.sum(0) for product in products[1::2]])


def without(hf_model: Any, *, heads: Sequence[tuple[int, int]] = (), neurons: Sequence[tuple[int, int]] = ()) -> Any:
    """`hf_model` itself, with the rows of W_O and W_out of some heads and neurons set to zero."""
    d_head = hf_model.config.head_dim
    with torch.no_grad():
        for layer, head in heads:
            hf_model.model.layers[layer].self_attn.o_proj.weight[:, head * d_head : (head + 1) * d_head] = 0
        for layer, neuron in neurons:
            hf_model.model.layers[layer].mlp.down_proj.weight[:, neuron] = 0
    return hf_model


LLAMA = {
    "attn.q": "self_attn.q_proj",
    "attn.k": "self_attn.k_proj",
    "attn.v": "self_attn.v_proj",
    "attn.o": "self_attn.o_proj",
    "mlp.gate": "mlp.gate_proj",
    "mlp.in": "mlp.up_proj",
    "mlp.out": "mlp.down_proj",
}
"""Canonical kinds of matrices and their modules in a transformers Llama layer; all stored as [out, in]."""


def matrix(hf_model: Any, name: str) -> torch.nn.Parameter:
    """The weights of `blocks.{layer}.{kind}`."""
    _, layer, kind = name.split(".", 2)
    return hf_model.get_submodule(f"model.layers.{layer}.{LLAMA[kind]}").weight


def weight_scores(hf_model: Any, name: str, rows: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
    """−W · mean ∂L/∂W and mean |W · ∂L/∂W| of one matrix, one (prompt, response) at a time."""
    weight = matrix(hf_model, name).requires_grad_(True)
    products = [weight.detach() * torch.autograd.grad(nll(hf_model, *row).mean(), weight)[0] for row in rows]
    weight.requires_grad_(False)
    return -torch.stack(products).mean(0), torch.stack(products).abs().mean(0)
