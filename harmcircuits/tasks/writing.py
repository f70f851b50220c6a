"""Free writing: what the model, ablated or not, writes after the prefill, and what the rules say of it."""

from collections.abc import Sequence

import pandas as pd

from ..elicitation import elicit
from ..examples import Prompt
from ..judges.rules import read
from ..models.protocol import HookedModel


def write_and_read(
    model: HookedModel, prompts: Sequence[Prompt], *, max_new_tokens: int = 48, seed: int = 1, batch_size: int = 48
) -> pd.DataFrame:
    """One row a prompt: `refusal`, `degenerate`, `on_task` (0 or 1) and `response` (text; never shown unless asked).

    Sampled at temperature 1 with the same random numbers for every condition. Nothing is cached: the model may be ablated.
    """
    written = elicit(model, prompts, max_new_tokens=max_new_tokens, seed=seed, batch_size=batch_size, cache=False)
    readings = [read(example.request, example.response) for example in written]
    return pd.DataFrame(
        {
            "refusal": [float(reading.refusal) for reading in readings],
            "degenerate": [float(reading.degenerate) for reading in readings],
            "on_task": [float(reading.on_task) for reading in readings],
            "response": [example.response for example in written],
        }
    )
