"""Free writing: what the model, ablated or not, writes after the prefill, and what the rules say of it."""

from collections.abc import Sequence

import pandas as pd

from ..data import Example, Prompt
from ..data.elicit import elicit
from ..judges.rules import read_compliance
from ..models.protocol import HookedModel


def write(
    model: HookedModel,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
    seed: int = 1,
    batch_size: int = 48,
) -> list[Example]:
    """One text a prompt, in order, sampled with the same random numbers for every condition.

    Nothing is cached: the model may be ablated. The texts are examples with token ids, for any later reader; they are never
    shown unless asked.

    Args:
        temperature: 1 samples from the model's own distribution; 0 is greedy.

    Raises:
        ExampleError: no prompts, or settings that make no sense.
    """
    return elicit(
        model,
        prompts,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        batch_size=batch_size,
        cache=False,
    )


def read_texts(examples: Sequence[Example]) -> pd.DataFrame:
    """One row a text, in order, by the rules: `refusal`, `degenerate`, `on_task` (0 or 1) and `response` (the text).

    >>> texts = [Example(request="Name a bird.", response="A blackbird."), Example(request="Name a fish.", response="")]
    >>> read_texts(texts)[["refusal", "degenerate", "on_task"]].to_numpy().tolist()
    [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    """
    outcomes = [read_compliance(example.request, example.response) for example in examples]
    return pd.DataFrame(
        {
            "refusal": [float(outcome == "refused") for outcome in outcomes],
            "degenerate": [float(outcome == "degenerate") for outcome in outcomes],
            "on_task": [float(outcome == "complied") for outcome in outcomes],
            "response": [example.response for example in examples],
        }
    )
