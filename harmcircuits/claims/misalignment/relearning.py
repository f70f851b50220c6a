"""Relearning: after how many steps of narrow fine-tuning L of held-out bad answers is what it was before pruning."""

from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...statistics import Estimate, two_level, two_level_mean
from .curves import first_reached
from .effects import INSIDE, Arm, Measured
from .equal import BAD_ANSWER
from .plan import DAMAGE, NOTHING
from .told import ends

NOT_BACK = "in more than 5 % of the draws L of bad answers is not back when the fine-tuning ends"


def relearning(measured: Measured) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was lost and how soon it is back; and the curves.

    Returns:
        One row a domain and what was pruned: `lost` (rise of L of the domain's held-out bad answers by pruning, nats per token;
        positive: pruning hurts them) and `steps` (of fine-tuning on the same domain's bad advice until L is back at the intact
        model's; 0 where pruning did not raise it), both with _low and _high; n questions; reason, where there are no steps.
        And one row a domain, what was pruned and stage: steps, value (L of bad answers − the intact model's), low, high.
    """
    rows, lines = [], []
    for domain in measured.learnt:
        kinds = [kind for kind in measured.equal.kinds() if measured.runs(domain, Arm(kind=kind))]
        for kind in kinds:
            steps, losses, before = _losses(measured, domain, kind)
            lost = two_level_mean(losses[..., 0] - before, **measured.options)
            if kind != NOTHING:
                back = steps_back(steps, losses, before, measured)
                cells = ends("lost", lost) | ends("steps", back)
                rows.append({"learnt": domain, "pruned": kind, **cells, "n": lost.n, "reason": back.reason or ""})
            for at, step in enumerate(steps):
                value = ends("value", two_level_mean(losses[..., at] - before, **measured.options))
                cells = dict(zip(("value", "low", "high"), value.values(), strict=True))
                lines.append({"learnt": domain, "pruned": kind, "steps": float(step), **cells})
    columns = [
        "learnt",
        "pruned",
        *(f"{name}{end}" for name in ("lost", "steps") for end in ("", "_low", "_high")),
        "n",
        "reason",
    ]
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(lines)


def steps_back(
    steps: Float[np.ndarray, " stage"],
    losses: Float[np.ndarray, "seed item stage"],
    before: Float[np.ndarray, "seed item"],
    measured: Measured,
) -> Estimate:
    """The mean over fine-tunings of the first step at which the mean of `losses` is at or below that of `before`."""

    found = two_level(partial(_back, steps), losses, before, **measured.options)
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


def later(measured: Measured, kind: str, *, than: str = DAMAGE) -> Estimate:
    """Steps until L is back after pruning `kind` − after `than`, over all domains; positive: it takes longer."""
    domains = measured.comparable(Arm(kind=kind), Arm(kind=than))
    if not domains:
        return Estimate.missing(f"nothing was learnt after pruning {kind}, or after {than}")
    one, other = ([_losses(measured, domain, own) for domain in domains] for own in (kind, than))
    steps = one[0][0]
    arrays = [np.concatenate(own, axis=1) for own in ([p[1] for p in one], [p[1] for p in other], [p[2] for p in one])]
    difference = lambda now, control, then: _back(steps, now, then) - _back(steps, control, then)
    found = two_level(difference, *arrays, **measured.options)
    return Estimate.missing(NOT_BACK) if found.is_missing else found


def _losses(
    measured: Measured, domain: str, kind: str
) -> tuple[Float[np.ndarray, " stage"], Float[np.ndarray, "seed item stage"], Float[np.ndarray, "seed item"]]:
    """Steps; L of the domain's held-out bad answers by stage; and that of the intact model."""
    asked = measured.asked(domain, INSIDE)
    runs = measured.runs(domain, Arm(kind=kind))
    seeds = sorted({run.seed for run in runs})
    steps = measured.curves[runs[0]].steps
    of_seed = lambda seed: np.mean([measured.curves[run].losses for run in runs if run.seed == seed], axis=0)
    losses = np.stack([of_seed(seed)[:, asked, BAD_ANSWER].T for seed in seeds])
    before = np.repeat(measured.base[asked, BAD_ANSWER][None], len(seeds), axis=0)
    return steps, losses, before
