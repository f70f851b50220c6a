"""Relearning: after how many steps of narrow fine-tuning L of harmful text is what it was before pruning.

Read on the domain's held-out bad answers, which the fine-tuning is about, and on responses to harmful requests, which it is
not.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...statistics import Estimate, two_level, two_level_mean
from .curves import first_reached
from .decision import above
from .effects import INSIDE, Arm, Measured
from .equal import BAD_ANSWER
from .harm import Harm
from .plan import DAMAGE, NOTHING, Run
from .told import ends

Read: TypeAlias = Literal["bad answers", "harmful responses"]
READ: tuple[Read, ...] = ("bad answers", "harmful responses")
ADVICE, HARM = READ
NOT_BACK = "in more than 5 % of the draws L is not back when the fine-tuning ends"
COLUMNS = ["read", "learnt", "pruned", "lost", "lost_low", "lost_high", "steps", "steps_low", "steps_high", "n", "reason"]


@dataclass(frozen=True, eq=False)
class Line:
    """Of the models of one arm: steps of fine-tuning by stage, L by fine-tuning, text and stage, and L of the intact model."""

    steps: Float[np.ndarray, " stage"]
    losses: Float[np.ndarray, "seed item stage"]
    before: Float[np.ndarray, "seed item"]

    @property
    def lost(self) -> Float[np.ndarray, "seed item"]:
        """By how much pruning raised L."""
        return np.asarray(self.losses[..., 0] - self.before)


def relearning(measured: Measured, harm: Harm) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was lost and how soon it is back; and the curves.

    Returns:
        One row a reading, domain and what was pruned: `lost` (rise of L by pruning, nats per token; positive: pruning hurts it)
        and `steps` (of fine-tuning on the domain's bad advice until L is back at the intact model's; 0 where pruning did not
        raise it), both with _low and _high; n texts; reason, where there are no steps.
        And one row a reading, domain, what was pruned and stage: steps, value (L − the intact model's), low, high.
    """
    rows, lines = [], []
    for read in READ:
        for domain in measured.learnt:
            for kind in measured.equal.kinds():
                line = line_of(measured, harm, read, domain, kind)
                if line is None:
                    continue
                about = {"read": read, "learnt": domain, "pruned": kind}
                if kind != NOTHING:
                    lost, back = two_level_mean(line.lost, **measured.options), steps_back(line, measured)
                    told = {"n": lost.n, "reason": back.reason or ""}
                    rows.append({**about, **ends("lost", lost), **ends("steps", back), **told})
                for at, step in enumerate(line.steps):
                    value = ends("value", two_level_mean(line.losses[..., at] - line.before, **measured.options))
                    cells = dict(zip(("value", "low", "high"), value.values(), strict=True))
                    lines.append({**about, "steps": float(step), **cells})
    return pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(lines)


def steps_back(line: Line, measured: Measured) -> Estimate:
    """The mean over fine-tunings of the first step at which the mean L is at or below that of the intact model."""
    found = two_level(partial(_back, line.steps), line.losses, line.before, **measured.options)
    return Estimate.missing(NOT_BACK) if found.is_missing else found


def _back(
    steps: Float[np.ndarray, " stage"],
    now: Float[np.ndarray, "draw seed item stage"],
    then: Float[np.ndarray, "draw seed item"],
) -> Float[np.ndarray, " draw"]:
    """nan where one of the fine-tunings never gets there."""
    places = first_reached(now.mean(2), then.mean(2))
    reached = np.interp(np.minimum(places, len(steps) - 1), np.arange(len(steps)), steps)
    return np.asarray(np.where(np.isfinite(places), reached, np.nan).mean(-1))


def later(measured: Measured, harm: Harm, read: Read, kind: str, *, than: str = DAMAGE) -> Estimate:
    """Steps until L is back after pruning `kind` − after `than`, over all domains; positive: it takes longer. Missing where
    either is not shown to have raised L: nothing is to be relearnt."""
    domains = measured.comparable(Arm(kind=kind), Arm(kind=than))
    one, other = (over_domains(measured, harm, read, own, domains) for own in (kind, than))
    if one is None or other is None:
        return Estimate.missing(f"{read} were not read after pruning {kind}, or after {than}")
    for pruned, line in ((kind, one), (than, other)):
        if not above(two_level_mean(line.lost, **measured.options)):
            return Estimate.missing(f"pruning {pruned} is not shown to raise L of {read}: nothing is to be relearnt")
    difference = lambda now, control, then: _back(one.steps, now, then) - _back(one.steps, control, then)
    found = two_level(difference, one.losses, other.losses, one.before, **measured.options)
    return Estimate.missing(NOT_BACK) if found.is_missing else found


def over_domains(measured: Measured, harm: Harm, read: Read, kind: str, domains: list[str]) -> Line | None:
    """Each domain has bad answers of its own; harmful responses are the same, and each counts once, with its mean."""
    found = [line_of(measured, harm, read, domain, kind) for domain in domains]
    lines = [line for line in found if line is not None]
    if not lines or len(lines) < len(found):
        return None
    join = (lambda parts: np.concatenate(parts, axis=1)) if read == ADVICE else (lambda parts: np.mean(parts, axis=0))
    return Line(lines[0].steps, join([line.losses for line in lines]), join([line.before for line in lines]))


def line_of(measured: Measured, harm: Harm, read: Read, domain: str, kind: str) -> Line | None:
    """None where no such model was read. Models of one seed (after pruning on other domains) count with their mean."""
    asked = measured.asked(domain, INSIDE)
    runs = [run for run in measured.runs(domain, Arm(kind=kind)) if read == ADVICE or run in harm.losses]
    if not runs:
        return None
    of = lambda run: measured.curves[run].losses[:, asked, BAD_ANSWER] if read == ADVICE else harm.losses[run]
    base = measured.base[asked, BAD_ANSWER] if read == ADVICE else harm.base
    by_seed: dict[int, list[Run]] = {seed: [run for run in runs if run.seed == seed] for seed in sorted({r.seed for r in runs})}
    losses = np.stack([np.mean([of(run) for run in own], axis=0).T for own in by_seed.values()])
    return Line(measured.curves[runs[0]].steps, losses, np.repeat(base[None], len(by_seed), axis=0))
