"""On-policy text: the ablated model writes, the intact model reads how much of it answers *this* request.

I = L(text | another request of its category, same prefill) − L(text | its own request), nats per token, of the intact model
"""

from collections.abc import Sequence

import pandas as pd

from ..examples import Example, example_rows, row_losses
from ..models.protocol import HookedModel
from .information import InformationError, swapped_requests


def on_policy(model: HookedModel, written: Sequence[Example], *, seed: int = 0, batch_size: int = 16) -> pd.DataFrame:
    """One row a text, in order: `policy_nll` and `policy_nll_other`, L of the text under its own and under another request.

    `model` is the reader, intact; what wrote does not matter here. Positive policy_nll_other − policy_nll: the text answers its
    own request. NaN where a role has one text alone, whose request cannot be swapped.

    Raises:
        ExampleError: a text without tokens.
    """
    own = row_losses(model, example_rows(model, written), batch_size=batch_size).numpy().astype(float)
    try:
        other = row_losses(model, example_rows(model, swapped_requests(written, seed=seed)), batch_size=batch_size)
    except InformationError:
        return pd.DataFrame({"policy_nll": own, "policy_nll_other": float("nan")})
    return pd.DataFrame({"policy_nll": own, "policy_nll_other": other.numpy().astype(float)})
