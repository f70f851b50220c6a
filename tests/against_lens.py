"""TransformerLens' own attribution patching, with zero as the activation that it patches in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from harmcircuits.examples import Row
from harmcircuits.models.protocol import start_graph

Patch = Callable[..., Any]


def patched_with_zero(patch: Patch, model: Any, tokens: Tensor, metric: Callable[[Tensor], Tensor]) -> Any:
    """`attribution_patch` of one row [1, pos], from what it computes to zero at every head and MLP output.

    Its score of a node is (a_clean − a_corrupt) · ∂metric/∂a, with the gradient of the *corrupt* run. Here the corrupt run is
    the intact one, and hooks make a_clean 0, so that the score is −a · ∂metric/∂a: our A at one position, by the same sign.
    Parameters may be frozen: the graph begins at the embedding.
    """
    with _zero_in_clean_runs(model):
        return patch(model, tokens, tokens, metric)


@contextmanager
def _zero_in_clean_runs(model: Any) -> Iterator[None]:
    """Zero in the first, third, … pass, by hooks before its own: it runs each pair clean first, then corrupt."""
    runs = 0

    def begin(embedding: Tensor, hook: object) -> Tensor:
        nonlocal runs
        runs += 1
        return start_graph(embedding, hook)

    def zero(activation: Tensor, hook: object) -> Tensor | None:
        return torch.zeros_like(activation) if runs % 2 else None

    names = [f"blocks.{layer}.{name}" for layer in range(model.cfg.n_layers) for name in ("attn.hook_z", "hook_mlp_out")]
    with model.hooks(fwd_hooks=[("hook_embed", begin), *((name, zero) for name in names)]):
        yield


def node_sums(result: Any, n_layers: int, n_heads: int) -> tuple[Tensor, Tensor]:
    """Scores summed over positions: of heads [layer, head] and of whole MLPs [layer]."""
    heads, mlps = torch.zeros(n_layers, n_heads, dtype=torch.float64), torch.zeros(n_layers, dtype=torch.float64)
    for node, score in result.node_scores.items():
        if node.kind == "attn_head_out":
            heads[node.layer, node.head] += score
        elif node.kind == "mlp_out":
            mlps[node.layer] += score
    return heads, mlps


def loss_of_row(row: Row) -> Callable[[Tensor], Tensor]:
    """L of one row from its whole logits [1, pos, d_vocab], written anew."""
    targets = torch.tensor(row.tokens[row.start : row.stop])

    def loss(logits: Tensor) -> Tensor:
        log_p = logits[0, row.start - 1 : row.stop - 1].log_softmax(-1)
        return -log_p[torch.arange(len(targets)), targets].mean()

    return loss
