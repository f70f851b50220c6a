"""Scores equal those of TransformerLens' own attribution patching, where the two definitions meet.

With zero as the clean activation, its node score at `hook_z` is our A of a head at one position, and its score of an MLP's
output is the sum of our A over the MLP's neurons (their outputs add up to it where there is no bias). It takes one row at a
time and a scalar of the whole logits, and gives one number a position.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from comparisons import differ
from torch import Tensor
from written import written

from harmcircuits.attribution.first_order import attribute
from harmcircuits.data import Row, example_rows
from harmcircuits.models.protocol import detach_and_require_grad

patching = pytest.importorskip(
    "transformer_lens.tools.analysis.attribution_patching", reason="this TransformerLens has no attribution_patch"
)
pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing")

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
        return detach_and_require_grad(embedding, hook)

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


@pytest.fixture
def theirs(tiny):
    """Heads [example, layer, head] and MLPs [example, layer] by `attribution_patch`."""
    cfg, parts = tiny.cfg, []
    for row in example_rows(tiny, written(tiny.tokenizer)):
        result = patched_with_zero(patching.attribution_patch, tiny, torch.tensor([row.tokens]), loss_of_row(row))
        parts.append(node_sums(result, cfg.n_layers, cfg.n_heads))
    return torch.stack([heads for heads, _ in parts]), torch.stack([mlps for _, mlps in parts])


def test_heads_have_the_scores_of_attribution_patching_with_zero(tiny, theirs):
    ours = attribute(tiny, written(tiny.tokenizer)).per_example_heads.double()
    assert differ(ours, theirs[0]) < 1e-5


def test_neurons_add_up_to_the_score_of_their_mlp(tiny, theirs):
    ours = attribute(tiny, written(tiny.tokenizer)).per_example_neurons.double().sum(-1)
    assert differ(ours, theirs[1]) < 1e-5
    assert not any(point.fwd_hooks or point.bwd_hooks for point in tiny.hook_dict.values())
