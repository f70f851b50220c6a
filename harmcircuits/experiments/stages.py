"""The tasks of one condition, each a frame of per-prompt outcomes; the model is under the condition already.

Every stage takes (model, asked); `example` is a prompt's number in the test triples, `item` one in the task's own list.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data import Example, Prompt
from ..models.protocol import HookedModel
from ..tasks.recognition import ShotError, many_shot
from ..tasks.refusal import everyday, read_refusals, without_prefill
from ..tasks.utility import utility
from ..tasks.writing import write
from .asked import Asked

log = logging.getLogger(__name__)
Stage = Callable[[HookedModel, Asked], pd.DataFrame]


def read_many_shot(model: HookedModel, asked: Asked) -> pd.DataFrame:
    """`many_shot`: log-odds of "harmful" of the first triples' requests, in plain text after the shots."""
    shots, some = asked.instruments.shots, asked.prompts[: 3 * asked.settings.many_shot_triples]
    odds = np.full(len(some), np.nan)
    if shots:
        try:
            odds = many_shot(model, some, shots).numpy().astype(float)
        except ShotError as error:  # longer than the model's context: the run goes on
            log.warning("no many-shot recognition: %s", error)
    return pd.DataFrame({"example": range(len(some)), "many_shot": odds})


@dataclass(frozen=True, eq=False)
class Written:
    """What a condition writes: `free` after the prefill, `bare` to the same requests without one, `everyday` to other ones."""

    free: Sequence[Example]
    bare: Sequence[Example]
    everyday: Sequence[Example]


def write_all(model: HookedModel, asked: Asked) -> Written:
    """Rows of one list, since a batch of few rows costs nearly as much as one of many."""
    settings = asked.settings
    free, other = [asked.prompts[at] for at in asked.twins], everyday_prompts(asked)
    whole = [*free, *without_prefill(free), *other]
    texts = write(model, whole, max_new_tokens=settings.max_new_tokens, seed=settings.seed + 1)
    n = len(free)
    return Written(texts[:n], texts[n : 2 * n], texts[2 * n :])


def refusals_of_twins(asked: Asked, written: Written) -> pd.DataFrame:
    """`refused`: whether the model declines the same requests when nothing is put in its mouth."""
    return pd.DataFrame({"example": asked.twins, "refused": read_refusals(written.bare)["refused"].to_numpy(dtype=float)})


def refusals_everyday(asked: Asked, written: Written) -> pd.DataFrame:
    """Items: whether everyday benign requests are declined."""
    prompts = everyday_prompts(asked)
    if not prompts:
        return pd.DataFrame({"task": [], "item": []})
    topics, found = [prompt.category for prompt in prompts], read_refusals(written.everyday)
    return pd.DataFrame(
        {"task": "everyday", "item": range(len(prompts)), "topic": topics, "refused": found["refused"].to_numpy(dtype=float)}
    )


def everyday_prompts(asked: Asked) -> list[Prompt]:
    """Those of either kind in turn."""
    return _in_turn([everyday("money"), everyday("sounds-harmful")])[: asked.settings.everyday]


def know(model: HookedModel, asked: Asked) -> pd.DataFrame:
    """Items: facts and passages."""
    settings = asked.settings
    if not settings.facts and not settings.passages:
        return pd.DataFrame({"task": [], "item": []})
    found = utility(model, n_facts=settings.facts, n_passages=settings.passages)
    return found.rename(columns={"kind": "task"})


STAGES: dict[str, Stage] = {
    "many-shot recognition": read_many_shot,
}
"""Each gives columns of test prompts."""

ITEMS: dict[str, Stage] = {"utility": know}
"""Each gives rows of its own."""


def _in_turn(lists: Sequence[Sequence[Prompt]]) -> list[Prompt]:
    """One of each list, then the next of each, to the end of the shortest; then what is left of the longest."""
    shortest = min(map(len, lists))
    mixed = [one for ones in zip(*(part[:shortest] for part in lists), strict=True) for one in ones]
    return mixed + [one for part in lists for one in part[shortest:]]
