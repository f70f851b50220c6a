"""What the verdict rests on, computed from the outcomes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..statistics import (
    Equivalence,
    Estimate,
    aim_by_task,
    aim_by_task_null,
    auroc_change,
    auroc_estimate,
    bootstrap,
    detectable,
    detectable_auroc,
    equivalent_within,
    mean_estimate,
    n_for_equivalence,
    p_value,
    paired_difference,
)
from .measures import HARMFUL, NEAR, Arrays, broken
from .nulls import KINDS, Nulls
from .settings import Settings
from .verdict import FEWEST, Evidence

INTERACTION_DRAWS = 999
NO_SCORES = "no training split was given"
CORRELATIONS = (0.95, 0.5)
"""Between the AUROCs of one reading before and after an ablation: from a mild one to a strong one."""


def gather(
    intact: Arrays,
    changed: Arrays,
    aimed: Arrays | None,
    random: Arrays | None,
    nulls: Nulls | None,
    *,
    primary: str,
    reading: str,
    settings: Settings,
    no_aimed: str = "",
    no_random: str = "",
    strata: Sequence[str] | None = None,
) -> Evidence:
    """Evidence on one circuit.

    `aimed` and `random`: outcomes under the circuit aimed at recognition, and under a matched random one. `primary`: the
    column of the primary reading of recognition, `reading`: the same in words. `no_aimed`, `no_random`: why these are missing
    (the nulls with the latter). `strata`: the category of each triple, by which intervals are drawn; None: all triples alike.
    """
    options: dict[str, Any] = {"draws": settings.bootstrap_draws, "seed": settings.seed, "strata": strata}
    rise = changed["nll"] - intact["nll"]
    recognition = _recognition(intact[primary], changed[primary], settings, options)
    interaction, interaction_p = _interaction(intact, changed, aimed, primary, settings, no_aimed, options)
    return Evidence(
        n=len(rise),
        reading=reading,
        information=mean_estimate((intact["nll_other"] - intact["nll"])[:, HARMFUL], **options),
        intact_auroc=auroc_estimate(intact[primary][:, HARMFUL], intact[primary][:, NEAR], **options),
        selectivity=paired_difference(rise[:, HARMFUL], rise[:, NEAR], **options),
        null_p={kind: _null_p(nulls, kind, no_random) for kind in KINDS},
        null_triples=len(nulls.observed) if nulls is not None else 0,
        recognition=recognition,
        beyond_random=_drop(random[primary] if random else None, changed[primary], no_random or NO_SCORES, options),
        assay_drop=_drop(intact[primary], aimed[primary] if aimed else None, no_aimed, options),
        broken=broken(intact, changed),
        interaction=interaction,
        interaction_p=interaction_p,
    )


def sensitivity(n: int, settings: Settings) -> str:
    """The smallest effects that `n` triples can show, said before the run.

    How well the AUROCs before and after an ablation correlate decides what can be seen of their difference, and is not known
    before the run: both ends of a range are told.
    """
    if n < FEWEST:
        return f"{n} test triples are too few for intervals: give at least {FEWEST}, and some tens to decide."
    shown = [detectable_auroc(n, correlation=correlation) for correlation in CORRELATIONS]
    drawn_on = max(FEWEST, min(n, settings.null_triples))
    enough = [n_for_equivalence(change * np.sqrt(n) / 2.8, settings.margin) for change in shown]  # δ ≈ 2.8 sd / √n
    return (
        f"With {n} test triples, power 0.8 and two-sided tests at 0.05, this run can show a selectivity of at least "
        f"{detectable(1.0, n):.2f} standard deviations of the per-triple differences (beyond nulls, measured on {drawn_on} "
        f"triples, of {detectable(1.0, drawn_on):.2f}), and a change of AUROC of {shown[0]:.2f} to {shown[1]:.2f} or more; "
        f"equivalence within {settings.margin:g} AUROC needs about {enough[0]} to {enough[1]} triples (supposing an AUROC of "
        f"0.7 that correlates with itself after ablation by {CORRELATIONS[0]:g} to {CORRELATIONS[1]:g})."
    )


def _recognition(before: np.ndarray, after: np.ndarray, settings: Settings, options: Mapping[str, Any]) -> Equivalence | None:
    if np.isnan(before[:, :2]).any() or len(before) < FEWEST:
        return None
    return equivalent_within(auroc_change(before[:, :2], after[:, :2], level=0.9, **options), margin=settings.margin)


def _drop(before: np.ndarray | None, after: np.ndarray | None, why_not: str, options: Mapping[str, Any]) -> Estimate:
    """AUROC before − after."""
    if before is None or after is None:
        return Estimate.missing(why_not)
    return auroc_change(after[:, :2], before[:, :2], **options)


def _interaction(
    intact: Arrays,
    changed: Arrays,
    aimed: Arrays | None,
    primary: str,
    settings: Settings,
    why_not: str,
    options: Mapping[str, Any],
) -> tuple[Estimate, Estimate]:
    """Drops by aim and task: writing is the selectivity, recognition the fall of odds(harmful) − odds(near), per triple."""
    if aimed is None:
        return Estimate.missing(why_not), Estimate.missing(why_not)
    drops = np.stack([np.stack([_wrote_less(intact, under), _knew_less(intact, under, primary)]) for under in (changed, aimed)])
    value = bootstrap(
        lambda found: aim_by_task(np.moveaxis(found, -3, -1)), np.moveaxis(drops, -1, 0), vectorised=True, **options
    )
    if settings.null_draws < 39:
        return value, Estimate.missing("the quick run makes no tests")
    if value.value is None:
        return value, Estimate.missing(f"the interaction is missing: {value.reason}")
    return value, p_value(value.value, aim_by_task_null(drops, draws=INTERACTION_DRAWS, seed=settings.seed))


def _wrote_less(intact: Arrays, changed: Arrays) -> np.ndarray:
    rise = changed["nll"] - intact["nll"]
    return np.asarray(rise[:, HARMFUL] - rise[:, NEAR])


def _knew_less(intact: Arrays, changed: Arrays, primary: str) -> np.ndarray:
    gap = lambda odds: odds[:, HARMFUL] - odds[:, NEAR]
    return np.asarray(gap(intact[primary]) - gap(changed[primary]))


def _null_p(nulls: Nulls | None, kind: str, why_not: str) -> Estimate:
    if nulls is None:
        return Estimate.missing(why_not or NO_SCORES)
    return p_value(nulls.observed_selectivity, nulls.selectivity(kind))
