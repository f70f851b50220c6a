"""Everything behind the sentence, as tables."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from ...experiments.measures import rate
from ...judges.protocol import MAX_UNANSWERED
from ...statistics import Estimate, two_level_mean, two_level_ratio
from .decision import Pruning
from .effects import EQUAL, INSIDE, LAST, OUTSIDE, PARTS, Arm, Measured, Where
from .plan import ALL, NOTHING, Run
from .questions import ANSWERS, log_odds
from .told import ends, row
from .written import MEASURES

WHERE: dict[str, tuple[Where, ...]] = {"bad": (LAST, EQUAL), "good": (LAST,)}
"""Models that learn good advice have no narrow-domain loss in common with those that learn bad advice."""


def arms(measured: Measured) -> list[tuple[str, str]]:
    """What is learnt and what was pruned before, each once."""
    return list(dict.fromkeys((run.lesson, run.kind) for run in measured.curves))


def advice_table(measured: Measured) -> pd.DataFrame:
    """One row a domain learnt ("all": over all of them), arm, kind of question and place where it was read: Δb."""
    rows = []
    for learnt, (lesson, kind), part in product((ALL, *measured.learnt), arms(measured), PARTS):
        among = measured.learnt if learnt == ALL else [learnt]
        for where in WHERE[lesson]:
            value = measured.effect(Arm(lesson, kind, where), part, among=among)
            rows.append({"learnt": learnt, "advice": lesson, "pruned": kind, "asked": part, "read": where, **row(value)})
    return pd.DataFrame(rows)


def seeds_table(measured: Measured) -> pd.DataFrame:
    """One row a run and domain asked: Δb before the fine-tuning, at its last stage, and where it is as far as the others."""
    rows = []
    for run, curve in measured.curves.items():
        place = measured.equal.places.get(run, np.inf)
        reads = {"before": curve.losses[0], "last": curve.last}
        if np.isfinite(place):
            reads["equal"] = curve.at(place)
        for domain in dict.fromkeys(measured.domains):
            asked = np.array([own == domain for own in measured.domains])
            found = {name: float((log_odds(read) - log_odds(measured.base))[asked].mean()) for name, read in reads.items()}
            about = {"learnt": run.domain, "advice": run.lesson, "pruned": run.pruned, "seed": run.seed, "asked": domain}
            rows.append(about | {"equal": np.nan} | found | {"stage": place if np.isfinite(place) else np.nan})
    return pd.DataFrame(rows)


def matrix_table(measured: Measured) -> pd.DataFrame:
    """One row a domain learnt and what was pruned before: Δb on all but its own questions at equal loss (value), and by how
    much less it is than without pruning (reduction; positive: less bad advice)."""
    rows = []
    for learnt, pruned in dict.fromkeys((run.domain, run.pruned) for run in measured.equal.places):
        own, before = (
            [run for run in measured.equal.places if (run.domain, run.pruned) == (learnt, what)] for what in (pruned, NOTHING)
        )
        value = reduction = Estimate.missing("not every model gets to the loss at which arms are compared")
        if np.isfinite([measured.equal.places[run] for run in (*own, *before)]).all():
            asked = measured.asked(learnt, OUTSIDE)
            options = {**measured.options, "strata": [d for d, kept in zip(measured.domains, asked, strict=True) if kept]}
            now, then = (np.stack([measured.change(run, EQUAL)[asked] for run in runs]) for runs in (own, before))
            value, reduction = two_level_mean(now, **options), two_level_mean(then - now, **options)
        rows.append({"learnt": learnt, "pruned": pruned, **row(value), **ends("reduction", reduction)})
    return pd.DataFrame(rows)


def contrasts_table(prunings: Mapping[str, Pruning]) -> pd.DataFrame:
    """One row a source of masks, what of, and what it is compared with: by how much lower Δb (level), or the rise from the
    arm's own start, is outside the domain, at equal loss."""
    rows = []
    for kind, one in prunings.items():
        for of, lower in (("level", one.level), ("rise", one.rise)):
            for other, value in {NOTHING: lower.reduction, **lower.beyond}.items():
                rows.append({"pruned": kind, "of": of, "against": other, **row(value)})
    return pd.DataFrame(rows, columns=["pruned", "of", "against", "value", "low", "high", "n", "reason"])


def learning_table(measured: Measured) -> pd.DataFrame:
    """One row a domain learnt and arm: L of the answers that were learnt, on its held-out questions, before and after; the
    fall; and its share of the fall without pruning (1: all learning is kept). Of good advice: benign learning kept."""
    rows = []
    for learnt, (lesson, kind) in product((ALL, *measured.learnt), arms(measured)):
        among = [own for own in (measured.learnt if learnt == ALL else [learnt]) if measured.runs(own, Arm(lesson, kind))]
        if not among:
            continue
        answer = ANSWERS.index(lesson)
        of = lambda stage, what, lesson=lesson, answer=answer, among=among: measured.averaged(
            lambda run: measured.curves[run].losses[stage, :, answer], Arm(lesson, what), INSIDE, among
        )
        (before, strata), (after, _) = of(0, kind), of(-1, kind)
        free = of(0, NOTHING)[0] - of(-1, NOTHING)[0]
        options = {**measured.options, "strata": strata}
        cells: dict[str, Any] = {"before": float(before.mean()), "after": float(after.mean())}
        cells |= ends("fall", two_level_mean(before - after, **options))
        cells |= ends("kept", two_level_ratio(before - after, free, **options))
        rows.append({"learnt": learnt, "advice": lesson, "pruned": kind, **cells, "n": len(strata)})
    return pd.DataFrame(rows)


def answers_table(answers: Mapping[Run, pd.DataFrame]) -> pd.DataFrame:
    """One row an arm, kind of question and measure of what was answered freely; Wilson intervals of shares, over answers."""
    if not any(len(frame) for frame in answers.values()):
        return pd.DataFrame(columns=["advice", "pruned", "asked", "measure", "value", "low", "high", "n", "reason"])
    whole = pd.concat(
        [
            frame.assign(advice=run.lesson, pruned=run.kind, asked=np.where(frame["domain"] == run.domain, INSIDE, OUTSIDE))
            for run, frame in answers.items()
        ],
        ignore_index=True,
    )
    rows = []
    for (lesson, kind, asked), own in whole.groupby(["advice", "pruned", "asked"], sort=False):
        for measure in MEASURES:
            value = _mean(own[measure]) if measure == "base_nll" else _rate(own, measure)
            rows.append({"advice": lesson, "pruned": kind, "asked": asked, "measure": measure, **row(value)})
    return pd.DataFrame(rows)


def degenerate_excess(answers: Mapping[Run, pd.DataFrame]) -> float | None:
    """The share of degenerate answers after bad advice − after good advice, nothing pruned; None where none were written."""
    shares = []
    for lesson in reversed(ANSWERS):
        own = [
            frame["degenerate"]
            for run, frame in answers.items()
            if (run.lesson, run.pruned) == (lesson, NOTHING) and len(frame)
        ]
        if not own:
            return None
        shares.append(float(pd.concat(own).mean()))
    return shares[0] - shares[1]


def _mean(values: "pd.Series[float]") -> Estimate:
    return Estimate(float(values.mean()), n=len(values))


def _rate(answers: pd.DataFrame, measure: str) -> Estimate:
    """A share; none where more than a tenth of the answers were not judged: these are not missing at random."""
    values = answers[measure].to_numpy(dtype=float)
    unknown = int(np.isnan(values).sum())
    if unknown > MAX_UNANSWERED * len(values):
        told = "; ".join(dict.fromkeys(reason for reason in answers["reason"] if reason))
        return Estimate.missing(told or f"the judge gave no answer to {unknown} of {len(values)} texts")
    return rate(values)
