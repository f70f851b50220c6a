"""Every task under every condition: one frame of outcomes on the test triples, one of other items, and arrays of them."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm.auto import tqdm

from ..ablation.ablate import Ablation, ablated
from ..models.protocol import HookedModel, tokenizer_of
from ..readings.information import swapped_requests
from ..tasks.teacher_forced import INTACT, teacher_forced
from ..tasks.writing import read_texts
from .asked import Asked
from .instruments import PROBES
from .kept import WRITTEN, Kept
from .names import name_of
from .stages import ITEMS, STAGES, refusals_everyday, refusals_of_twins, write_all

KEY = ["condition", "example"]
WHO = ("group", "category", "harm_group", "role")

RESPONSES = ["condition", *WHO, "response"]
TOGETHER, OTHER, WRITING = "responses", "other requests", "writing and refusing"
APART = ("tasks", "items", WRITTEN)
"""Frames of one condition."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What was read.

    Attributes:
        frame: one row a condition and prompt, triples in order, each harmful, near, far.
        responses: what was written freely, apart from the outcomes, so that it is not shown unless asked for.
        items: one row a condition and item of the tasks that are not about the triples (facts, passages, everyday requests).
        seconds: what each task took, all conditions together.
    """

    frame: pd.DataFrame
    responses: pd.DataFrame = field(repr=False)
    items: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["condition", "task"]))
    seconds: Mapping[str, float] = field(default_factory=dict)

    def by_triple(self, condition: str) -> dict[str, Float[np.ndarray, "triple role"]]:
        """Each reading of one condition as an array; roles in the order harmful, near, far."""
        rows = self.frame[self.frame["condition"] == condition]
        readings = [column for column in rows.columns if column not in ("condition", *WHO)]
        return {column: rows[column].to_numpy(dtype=float).reshape(-1, 3) for column in readings}

    def categories(self) -> list[str]:
        """The category of each triple, in order."""
        first = self.frame["condition"].iloc[0]
        return [str(label) for label in self.frame.loc[self.frame["condition"] == first, "category"].tolist()[::3]]

    def of_items(self, condition: str, task: str) -> pd.DataFrame:
        """The items of one task under one condition, in order."""
        return self.items[(self.items["condition"] == condition) & (self.items["task"] == task)]


def read_conditions(
    model: HookedModel,
    asked: Asked,
    conditions: Mapping[str, Ablation],
    *,
    intact: bool = True,
    kept: Kept | None = None,
    progress: bool = False,
) -> Outcomes:
    """All tasks for the intact model, unless `intact` is False, and under each of `conditions`. What is `kept` from before is
    not read again.

    Columns: nll, kl, nll_other (under another request), in_place, probe and probe_request, many_shot, on_task, refusal,
    degenerate, refused (without prefill); NaN where a reading was not
    taken.
    """
    clock, kept = _Clock(), kept or Kept()
    every: dict[str, Ablation] = {INTACT: None, **conditions} if intact else dict(conditions)
    off = {name: name_of(condition) for name, condition in every.items()}
    shared = [(TOGETHER, "together", _together), (OTHER, "other", _under_other_requests)]
    frames = []
    for task, what, read in shared:
        with clock(task):
            frames.append(kept.frame(what, list(off.items()), partial(read, model, asked, every, progress)))
    frame = reduce(partial(pd.merge, on=KEY, how="left"), frames)
    apart: dict[str, list[pd.DataFrame]] = {what: [] for what in APART}
    for name, condition in tqdm(every.items(), desc="tasks", unit="condition", disable=not progress):
        found = kept.frames(APART, off[name], partial(_alone, model, asked, condition, clock))
        for what in APART:
            apart[what].append(found[what].assign(condition=name))
    tasks, items, written = (pd.concat(apart[what], ignore_index=True) for what in APART)
    frame = frame.merge(tasks, on=KEY, how="left")
    who = _who(asked)
    said = written.assign(response=_as_text(model, written["ids"])).merge(who, on="example", how="left")[RESPONSES]
    whole = frame.merge(who, on="example", how="left").drop(columns="example")
    return Outcomes(whole, said.reset_index(drop=True), items, clock.seconds)


class _Clock:
    """Seconds by task."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running: list[tuple[str, float]] = []

    def __call__(self, task: str) -> "_Clock":
        self._running.append((task, time.perf_counter()))
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        task, since = self._running.pop()
        self.seconds[task] = self.seconds.get(task, 0.0) + time.perf_counter() - since


def _together(model: HookedModel, asked: Asked, every: Mapping[str, Ablation], progress: bool) -> pd.DataFrame:
    """One pass a batch and condition: L, KL, recognition in place."""
    question, probes = asked.instruments.question, asked.instruments.probes
    frame = teacher_forced(model, asked.examples, every, question=question, probes=probes, kl=asked.kl, progress=progress)
    return frame.assign(**{name: np.nan for name in PROBES if name not in probes})


def _under_other_requests(model: HookedModel, asked: Asked, every: Mapping[str, Ablation], progress: bool) -> pd.DataFrame:
    """`nll_other`: the loss of the same responses under another request of their category; harmful and near only."""
    some = [index for index, example in enumerate(asked.examples) if example.role != "far"]
    other = swapped_requests([asked.examples[index] for index in some], seed=asked.settings.seed)
    found = teacher_forced(model, other, every, kl=False, progress=progress).rename(columns={"nll": "nll_other"})
    return found.assign(example=[some[index] for index in found["example"]])[[*KEY, "nll_other"]]


def _alone(model: HookedModel, asked: Asked, condition: Ablation, clock: _Clock) -> dict[str, pd.DataFrame]:
    """`APART` of one condition: readings of test prompts, of other items, and what was written, as token ids."""
    with ablated(model, condition):
        found, own = _apart(model, asked, clock)
        with clock(WRITING):
            written = write_all(model, asked)
    with clock(WRITING):
        rules = read_texts(written.free).assign(example=asked.twins)
    for one in (rules.drop(columns="response"), refusals_of_twins(asked, written)):
        found = found.merge(one, on="example", how="left")
    items = pd.concat([own, refusals_everyday(asked, written)], ignore_index=True)
    ids = [" ".join(map(str, one.response_ids or ())) for one in written.free]
    return dict(zip(APART, (found, items, pd.DataFrame({"example": asked.twins, "ids": ids})), strict=True))


def _as_text(model: HookedModel, ids: Iterable[str]) -> list[str]:
    decode = tokenizer_of(model).decode
    return [decode([int(one) for one in own.split()], skip_special_tokens=True) for own in ids]


def _apart(model: HookedModel, asked: Asked, clock: _Clock) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tasks with passes of their own, under the condition that is in force: of test prompts, and of other items."""
    found = pd.DataFrame({"example": range(len(asked.prompts))})
    for name, stage in STAGES.items():
        with clock(name):
            found = found.merge(stage(model, asked), on="example", how="left")
    items = []
    for name, stage in ITEMS.items():
        with clock(name):
            items.append(stage(model, asked))
    return found, pd.concat(items, ignore_index=True)


def _who(asked: Asked) -> pd.DataFrame:
    found = pd.DataFrame([{column: getattr(prompt, column) for column in WHO} for prompt in asked.prompts])
    return found.rename_axis("example").reset_index()
