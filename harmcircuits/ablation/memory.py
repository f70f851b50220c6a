"""How many rows of a forward pass without gradients fit into memory.

An estimate from above, in elements a row of n tokens, of which `asked` are unembedded:

    one layer's activations   n · (6·d_model + 3·d_mlp) + 3 · n_heads · n²       (layers follow each other: one at a time)
    keys and values kept      n · 2 · n_layers · n_kv_heads · d_head
    logits                    asked · 3 · d_vocab                                (logits, their softmax, one copy)

times the size of a parameter's element, but 4 bytes at least, since norms, softmaxes and losses compute in float32.
"""

import torch

from ..data import Row, row_length
from ..models.protocol import HookedModel, device_of, geometry

ON_CPU = 2**30
"""Bytes; a CPU is busy with far less, and larger tensors cost it fresh pages."""


def rows_that_fit(model: HookedModel, row: Row) -> int:
    """How many rows like `row` fit into half of a GPU's free memory, or into `ON_CPU` bytes; at least 1."""
    device = device_of(model)
    budget = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else ON_CPU
    return max(1, budget // row_bytes(model, row))


def row_bytes(model: HookedModel, row: Row) -> int:
    """The estimate for one row, in bytes."""
    shape, cfg = geometry(model), model.cfg
    n, asked = row_length(row), row.stop - row.start
    n_kv = getattr(cfg, "n_key_value_heads", None) or shape.n_heads
    layer = n * (6 * cfg.d_model + 3 * shape.d_mlp) + 3 * shape.n_heads * n * n
    kept = n * 2 * shape.n_layers * n_kv * shape.d_head
    element = max(4, next(iter(model.parameters())).element_size())
    return int(element * (layer + kept + asked * 3 * cfg.d_vocab))
