"""Circuits of a run on other sets of requests, side by side: replication, never the headline.

Harmful and benign requests of such sets come from different sources and differ in form and topic, not in harm alone, so that a
difference between them is no selectivity in the sense of twins. All are answered after one and the same prefill.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from tqdm.auto import tqdm

from .. import store
from ..ablation.partial import Condition, under
from ..elicitation import elicit
from ..examples import Prompt
from ..models.protocol import HookedModel
from ..notebook import notebook_html
from ..prompts.promptset import PromptSet
from ..statistics import Estimate, bootstrap, mean_estimate
from ..tasks.information import swapped_requests
from ..tasks.refusal import refusals
from ..tasks.teacher_forced import INTACT, teacher_forced
from .checks import ExperimentError
from .measures import rate

log = logging.getLogger(__name__)
PREFILL = "Sure, here is"
FEWEST = 8


@dataclass(frozen=True, eq=False)
class Replication:
    """By set, condition and measure: see `replicate`."""

    found: Mapping[str, Mapping[str, Mapping[str, Estimate]]]

    def __repr__(self) -> str:
        conditions = len({condition for found in self.found.values() for condition in found})
        return f"Replication({len(self.found)} sets, {conditions} conditions)"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), self.table())

    def table(self) -> pd.DataFrame:
        """One row a set and condition; rises and information in nats per token with 95 % intervals, refusal as shares."""
        rows = [
            {"set": prompts, "condition": condition, **{name: str(value) for name, value in measured.items()}}
            for prompts, conditions in self.found.items()
            for condition, measured in conditions.items()
        ]
        return pd.DataFrame(rows)

    def save(self, path: str | Path, **about: Any) -> None:
        """One JSON file, written atomically, values as `{value, low, high, n}`; `about`: what else to keep (the command)."""
        sets = {
            prompts: {
                condition: {name: value.to_json() for name, value in measured.items()}
                for condition, measured in conditions.items()
            }
            for prompts, conditions in self.found.items()
        }
        store.write_json(Path(path), {**about, "sets": sets})


def replicate(
    model: HookedModel,
    conditions: Mapping[str, Condition],
    sets: Mapping[str, PromptSet],
    *,
    n: int = 64,
    prefill: str = PREFILL,
    max_new_tokens: int = 32,
    seed: int = 0,
    progress: bool = False,
) -> Replication:
    """For each set, at most `n` harmful and `n` benign requests, all under `prefill`, and each condition:

    - *harmful rise*, *benign rise*: L ablated − L intact of the intact model's own sampled responses, nats per token;
      positive: the ablation hurts; *difference*: harmful − benign;
    - *information*: L under another request of the set − L under its own, nats per token;
    - *refuses*: shares of requests declined without a prefill.

    Intervals are over requests, redrawn on each side. `conditions` need not name the intact model.

    Raises:
        ExperimentError: a set with fewer than 8 harmful or benign requests.
    """
    every: dict[str, Condition] = {INTACT: None, **conditions}
    found = {}
    for name, prompts in tqdm(sets.items(), desc="sets", disable=not progress):
        some = _chosen(name, prompts, n, prefill, seed)
        examples = elicit(model, some, max_new_tokens=max_new_tokens, seed=seed, progress=progress)
        read = teacher_forced(model, examples, every, progress=progress)
        other = teacher_forced(model, swapped_requests(examples, seed=seed), every, progress=progress)
        harmful = np.array([prompt.role == "harmful" for prompt in some])
        found[name] = {
            condition: _measured(read, other, condition, harmful)
            | _refusing(model, some, every[condition], harmful, max_new_tokens, seed)
            for condition in every
        }
    return Replication(found)


def _chosen(name: str, prompts: PromptSet, n: int, prefill: str, seed: int) -> list[Prompt]:
    """`n` of each side, in a random order, all under the same prefill; no categories, so that requests are swapped freely."""
    chosen: list[Prompt] = []
    for harmful in (True, False):
        side = [prompt for prompt in prompts if (prompt.role == "harmful") == harmful and prompt.role != "far"]
        side = side or [prompt for prompt in prompts if (prompt.role == "harmful") == harmful]
        if len(side) < FEWEST:
            what = "harmful" if harmful else "benign"
            raise ExperimentError(
                f"{name!r} has {len(side)} {what} requests, and at least {FEWEST} are needed: add a set that has"
            )
        order = np.random.default_rng(seed).permutation(len(side))[:n]
        role = "harmful" if harmful else "near"
        chosen += [replace(side[at], prefill=prefill, category="", group=f"{role}-{at}", role=role) for at in sorted(order)]
    return chosen


def _measured(
    read: pd.DataFrame, other: pd.DataFrame, condition: str, harmful: Bool[np.ndarray, " prompt"]
) -> dict[str, Estimate]:
    of = lambda frame, name: frame.loc[frame["condition"] == name, "nll"].to_numpy(dtype=float)
    rise = of(read, condition) - of(read, INTACT)
    information = of(other, condition) - of(read, condition)
    measured = {
        "harmful rise": mean_estimate(rise[harmful]),
        "benign rise": mean_estimate(rise[~harmful]),
        "difference": _difference(rise, harmful),
        "information, harmful": mean_estimate(information[harmful]),
        "information, benign": mean_estimate(information[~harmful]),
    }
    if condition == INTACT:
        nothing = Estimate.missing("the intact model is what rises are measured from")
        measured |= dict.fromkeys(("harmful rise", "benign rise", "difference"), nothing)
    return measured


def _refusing(
    model: HookedModel,
    prompts: Sequence[Prompt],
    condition: Condition,
    harmful: Bool[np.ndarray, " prompt"],
    max_new_tokens: int,
    seed: int,
) -> dict[str, Estimate]:
    with under(model, condition):
        refused = refusals(model, prompts, max_new_tokens=max_new_tokens, seed=seed)["refused"].to_numpy(dtype=float)
    return {"refuses harmful": rate(refused[harmful]), "refuses benign": rate(refused[~harmful])}


def _difference(values: Float[np.ndarray, " prompt"], harmful: Bool[np.ndarray, " prompt"]) -> Estimate:
    """Mean of the harmful − mean of the others; each side is redrawn by itself."""
    side = harmful.astype(float)

    def statistic(x: np.ndarray, h: np.ndarray) -> np.ndarray:
        return np.asarray((x * h).sum(-1) / h.sum(-1) - (x * (1 - h)).sum(-1) / (1 - h).sum(-1))

    return bootstrap(statistic, values, side, vectorised=True, strata=[str(one) for one in harmful])
