"""Conditions of a run at equal benign cost: their strengths, and what is read of them there."""

import logging
from collections.abc import Mapping

import numpy as np

from ..ablation.partial import Condition
from ..components import Circuit, WeightMask
from ..models.protocol import HookedModel
from ..tasks.teacher_forced import INTACT, teacher_forced
from .asked import Asked
from .checks import EXPLANATION, RANDOM
from .frontier import FrontierError, frontier
from .iso_damage import IsoDamage, solve, target
from .measures import Arrays

log = logging.getLogger(__name__)
SETTING = ("circuit", "aimed-at-twins")
"""The kinds whose weakest condition sets the damage; a control that hardly does anything would make it next to nothing."""
ROLES = 3
ALPHAS, STEPS = (0.67, 0.33, 0.0), 4


def equal_damage(
    model: HookedModel, asked: Asked, conditions: Mapping[str, tuple[str, Circuit | WeightMask]], *, progress: bool = False
) -> IsoDamage | str:
    """Every condition but plain random ones, brought to the same rise on far twins; or why that cannot be done."""
    n = asked.settings.damage_triples
    if not n:
        return "equal damage was not asked for: damage_triples is 0"
    examples = asked.examples[: ROLES * n]
    own = {name: circuit for name, (kind, circuit) in conditions.items() if name not in (RANDOM, EXPLANATION)}
    kinds = {name: conditions[name][0] for name in own}
    try:
        measured = frontier(model, own, examples, alphas=ALPHAS, kinds=kinds, progress=progress)
        damage = target(measured, [name for name in own if kinds[name] in SETTING])
        return solve(model, own, examples, damage=damage, measured=measured, steps=STEPS, progress=progress)
    except FrontierError as error:
        log.warning("conditions were not compared at equal damage: %s", error)
        return str(error)


def read_at_equal_damage(
    model: HookedModel, asked: Asked, solved: IsoDamage, *, progress: bool = False
) -> tuple[Arrays, dict[str, Arrays]]:
    """Writing and recognition in place of the intact model and of each condition there, on the first `null_triples` triples."""
    conditions: dict[str, Condition] = {INTACT: None, **solved.conditions()}
    question, probes = asked.instruments.question, asked.instruments.probes
    some = asked.examples[: ROLES * asked.settings.null_triples]
    frame = teacher_forced(model, some, conditions, question=question, probes=probes, progress=progress)
    readings = [column for column in frame.columns if column not in ("condition", "example")]
    found: dict[str, Arrays] = {
        str(name): {column: rows[column].to_numpy(dtype=float).reshape(-1, ROLES) for column in readings}
        for name, rows in frame.groupby("condition", sort=False)
    }
    return found.pop(INTACT), found


def filled(arrays: Arrays, like: Arrays) -> dict[str, np.ndarray]:
    """`arrays` with NaN for each reading of `like` that was not taken."""
    nothing = np.full_like(next(iter(arrays.values())), np.nan)
    return {**dict.fromkeys(like, nothing), **arrays}
