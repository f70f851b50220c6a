"""The components of one kind with the largest scores, with their standard errors."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor


def largest(scores: Float[Tensor, "example layer index"], k: int, *, kind: str, label: str) -> pd.DataFrame:
    """The `k` measured components of the largest mean: component, kind, layer, index, attribution, standard_error."""
    mean = scores.mean(0)
    order = mean.nan_to_num(nan=-torch.inf).flatten().argsort(descending=True, stable=True)
    flat = order[: min(k, int((~mean.isnan()).sum()))]
    layers, indices = np.unravel_index(flat.numpy(), tuple(mean.shape))
    error = scores.std(0).flatten()[flat] / len(scores) ** 0.5 if len(scores) > 1 else torch.full((len(flat),), torch.nan)
    columns: dict[str, Any] = {
        "component": [label.format(*pair) for pair in zip(layers, indices, strict=True)],
        "kind": kind,
        "layer": layers,
        "index": indices,
        "attribution": mean.flatten()[flat].numpy(),
        "standard_error": error.numpy(),
    }
    return pd.DataFrame(columns)
