"""Scores equal those of TransformerLens' own attribution patching, where the two definitions meet.

With zero as the clean activation, its node score at `hook_z` is our A of a head at one position, and its score of an MLP's
output is the sum of our A over the MLP's neurons (their outputs add up to it where there is no bias). It takes one row at a
time and a scalar of the whole logits, and gives one number a position.
"""

import pytest
import torch
from against_lens import loss_of_row, node_sums, patched_with_zero
from written import written

from harmcircuits.attribution.activations import attribute
from harmcircuits.examples import example_rows

patching = pytest.importorskip(
    "transformer_lens.tools.analysis.attribution_patching", reason="this TransformerLens has no attribution_patch"
)
pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing")


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
    assert float((ours - theirs[0]).abs().max() / theirs[0].abs().max()) < 1e-5


def test_neurons_add_up_to_the_score_of_their_mlp(tiny, theirs):
    ours = attribute(tiny, written(tiny.tokenizer)).per_example_neurons.double().sum(-1)
    assert float((ours - theirs[1]).abs().max() / theirs[1].abs().max()) < 1e-5
    assert not any(point.fwd_hooks or point.bwd_hooks for point in tiny.hook_dict.values())
