"""The crossed table of each grain, and every condition at equal damage."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ...ablation.partial import Condition, under
from ...experiments.battery import Outcomes
from ...experiments.checks import EXPLANATION, MATCHED, RECOGNITION, TWINS
from ...experiments.crossed import EXPLANATION as EXPLAINING
from ...experiments.crossed import GENERATION, REFUSAL, TASKS, crossed
from ...experiments.crossed import RECOGNITION as RECOGNISING
from ...experiments.equal_damage import equal_damage
from ...experiments.frontier import COLUMNS
from ...experiments.iso_damage import IsoDamage
from ...experiments.names import name_of, name_of_examples
from ...experiments.stages import explain_harm
from ...statistics import Estimate, fdr_estimates
from ...tasks.teacher_forced import INTACT
from ..material import Material
from ..reading import Read
from .aims import AIMS, WRITING, name
from .conditions import Built, Off

AIMED = {GENERATION: WRITING, RECOGNISING: RECOGNITION, EXPLAINING: EXPLANATION}
"""By task, the aim."""
READ = tuple(task for task in TASKS if task in (*AIMED, REFUSAL))
UNITS = {GENERATION: "nats per token", EXPLAINING: "nats per token", REFUSAL: "share of requests"}
EFFECTS = ["grain", "condition", "aim", "task", "value", "low", "high", "drop", "unit", "p", "p_adjusted", "n", "reason"]
PAIRS = ["grain", "first", "second", "one", "other", "value", "low", "high", "p", "p_adjusted", "n", "reason"]
ADVANTAGE = ["advantage", "advantage_low", "advantage_high", "p"]
EQUAL = ["grain", *COLUMNS, "damage", "equal", *ADVANTAGE, "reason"]


def with_explanations(read: Read, built: Built) -> Outcomes:
    """The outcomes with the columns of `experiments.stages.explain_harm` filled in, where explanations can be read."""
    if not built.explained:
        return read.outcomes
    material, frame = read.material, read.outcomes.frame.copy()
    asked = replace(material.asked, explained=built.explained)
    requests = [prompt.request for prompt in built.explained]
    conditions: dict[str, Condition] = {INTACT: None, **built.conditions()}
    for condition, off in conditions.items():
        key = [material.key, name_of(off), requests, material.settings.seed]

        def make(off: Condition = off) -> pd.DataFrame:
            with under(material.model, off):
                return explain_harm(material.model, asked)

        found = material.journal.frame("explained", key, make)
        rows = np.flatnonzero(frame["condition"] == condition)[found["example"].to_numpy(dtype=int)]
        for column in found.columns.drop("example"):
            own = frame[column].to_numpy(dtype=float, copy=True)
            own[rows] = found[column].to_numpy(dtype=float)
            frame[column] = own
    return replace(read.outcomes, frame=frame)


def crossed_frames(read: Read, outcomes: Outcomes, built: Built) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Aims by tasks of every grain as standardised effects (`experiments.crossed`), and their interactions.

    p values are adjusted over the cells, and over the interactions, of all grains together.
    """
    cells: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for grain in built.made:
        aims = [aim for aim in AIMS if aim in built.of(grain)]
        if WRITING not in aims:
            continue
        aimed = {task: name(grain, aim) for task, aim in AIMED.items() if aim in aims}
        beside = [name(grain, aim) for aim in (TWINS, MATCHED) if aim in aims]
        primary = read.material.instruments.primary
        found = crossed(outcomes, aimed, read.material.bootstrap, primary=primary, beside=beside)
        words = {name(grain, aim): aim for aim in aims}
        cells += [
            {**one, "grain": grain, "condition": words[one["condition"]]} for one in found["cells"] if one["task"] in READ
        ]
        pairs += [{**one, "grain": grain} for one in found["interactions"] if one["first"] != "in the chat"]
    units = {**UNITS, RECOGNISING: unit(read.material.instruments.primary)}
    effects = [
        {**_named(one, EFFECTS[:4]), **_numbers(one["effect"]), "drop": one["drop"]["value"], "unit": units[one["task"]], **p}
        for one, p in zip(cells, _adjusted(cells), strict=True)
    ]
    interactions = [
        {**_named(one, PAIRS[:5]), **_numbers(one["value"]), **p} for one, p in zip(pairs, _adjusted(pairs), strict=True)
    ]
    return pd.DataFrame(effects, columns=EFFECTS), pd.DataFrame(interactions, columns=PAIRS)


def unit(primary: str) -> str:
    """Of the primary reading."""
    return {"in_place": "nats of log-odds", "probe": "probe score"}[primary]


def _named(one: Mapping[str, Any], columns: Sequence[str]) -> dict[str, str]:
    return {column: one[column] for column in columns}


def _numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    read = Estimate.from_json(found)
    return {"value": read.value, "low": read.low, "high": read.high, "n": read.n, "reason": read.reason or ""}


def _adjusted(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, float | None]]:
    plain = [Estimate.from_json(one["p"]) for one in entries]
    return [{"p": p.value, "p_adjusted": q.value} for p, q in zip(plain, fdr_estimates(plain), strict=True)]


def frontier_frame(material: Material, built: Built, *, progress: bool = False) -> pd.DataFrame:
    """Every condition of every grain at several strengths, and where its damage is that of the others
    (`experiments.equal_damage`, on the first `damage_triples`).

    Columns: grain and those of `Frontier.frame`; damage, that all were brought to, the mean rise on far twins, nats per token;
    equal, 1 where the row is at that damage; advantage, there, the selectivity of the circuit aimed at generation minus this
    one's, with p; reason, why a condition has no row at equal damage.
    """
    key = [material.key, name_of_examples(material.examples), material.settings.damage_triples, material.bootstrap]
    parts = []
    for grain in built.made:
        conditions = built.of(grain)
        own = [*key, {aim: name_of(off) for aim, off in conditions.items()}]
        made = material.journal.frame("frontier", own, partial(_frontier, material, conditions, progress))
        parts.append(made.assign(grain=grain))
    return pd.concat(parts, ignore_index=True)[EQUAL]


def _frontier(material: Material, conditions: Mapping[str, Off], progress: bool) -> pd.DataFrame:
    if WRITING not in conditions:
        return _left_out({WRITING: "no circuit could be selected"})
    kinds = {aim: (AIMS[aim], off) for aim, off in conditions.items()}
    found = equal_damage(material.model, material.asked, kinds, progress=progress)
    if not isinstance(found, IsoDamage):
        return _left_out(dict.fromkeys(conditions, found))
    n = len(next(iter(found.frontier.rises.values()))[0])
    how = material.bootstrap | {"strata": material.categories[:n]}
    frame = found.frame(**how).assign(damage=found.damage, reason="")
    frame["equal"] = [int(found.alphas.get(row["condition"]) == row["alpha"]) for row in frame.to_dict("records")]
    frame[ADVANTAGE] = np.nan
    for aim in (aim for aim in found.alphas if aim != WRITING):
        ahead, p = found.advantage(aim, **how)
        rows = (frame["condition"] == aim) & (frame["equal"] == 1)
        values = (ahead.value, ahead.low, ahead.high, p.value)
        frame.loc[rows, ADVANTAGE] = [np.nan if value is None else value for value in values]
    return pd.concat([frame[EQUAL[1:]], _left_out(found.reasons)], ignore_index=True)


def _left_out(reasons: Mapping[str, str]) -> pd.DataFrame:
    """Rows without numbers."""
    rows = [{"condition": aim, "kind": AIMS[aim], "reason": why, "equal": 0, "n": 0} for aim, why in reasons.items()]
    frame = pd.DataFrame(rows, columns=EQUAL[1:])
    numbers = [column for column in EQUAL[1:] if column not in ("condition", "kind", "reason", "equal", "n")]
    return frame.astype(dict.fromkeys(numbers, float) | {"n": int, "equal": int})


def damage_of(frame: pd.DataFrame, grain: str) -> tuple[pd.DataFrame, float | None]:
    """The measured rows of one grain, and the equal damage."""
    own = frame[(frame["grain"] == grain) & (frame["reason"] == "")]
    return own, float(own["damage"].iloc[0]) if len(own) else None
