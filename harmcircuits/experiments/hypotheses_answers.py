"""From what was measured to one finding a test: statistic, control, p-value, and the answer in words.

An answer never says more than its test: a p-value above 0.05 is "not shown", never "gone".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..statistics import (
    Equivalence,
    Estimate,
    bootstrap,
    bootstrap_equivalence,
    fdr_estimates,
    mean_estimate,
    ratio_of_means,
    sign_flip_p,
)
from .hypotheses_random import by_triple
from .measures import rate

LEVEL = 0.05
MIN_FLIPPED = 5
"""Triples; the signs of fewer can be flipped in less than 20 ways."""
NO_P = "one p-value a component: see components"
ROLES = ("harmful", "near twins")
Information = Float[np.ndarray, "condition triple 2"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row of the table.

    Attributes:
        test: "independence", "minimality" or "sufficiency".
        measure: "harmful", "near" (I of such responses) or "retained"; "effect", "last" or "selectivity"; "rise" or
            "selectivity".
        question: what is asked.
        statistic: what was measured, with its unit.
        estimate: its value, 95 % interval and n; or why there is none.
        control: what it is compared with.
        p: one-sided; missing with the reason.
        p_adjusted: Benjamini–Hochberg's over the findings of one circuit that have a p; None without one.
        answer: in words.
    """

    test: str
    measure: str
    question: str
    statistic: str
    estimate: Estimate
    control: str
    p: Estimate
    p_adjusted: float | None = None
    answer: str = ""


def findings(
    information: Information,
    components: pd.DataFrame | str,
    own: Float[np.ndarray, "triple 2"],
    sufficiency: pd.DataFrame,
    about: Mapping[str, Any],
) -> tuple[Finding, ...]:
    """All of one circuit.

    Args:
        information: I, nats per token: [intact or ablated, triple, harmful or near].
        components: what `minimality` gives, or why it was not asked.
        own: rises under the circuit itself, [triple, harmful or near].
        sufficiency: what `sufficiency` gives.
        about: counts and settings of `CircuitTests`.
    """
    margin, seed = about["margin"], about["seed"]
    remains = [_remains(information, at, seed) for at in range(2)]
    suffices = [_suffices(own, sufficiency, measure) for measure in ("rise", "selectivity")]
    remains[0], remains[1], *suffices = _adjusted([*remains, *suffices])
    equivalent = [_within(information[1, :, at], margin, seed) for at in range(2)]
    intact = [mean_estimate(information[0, :, at], seed=seed) for at in range(2)]
    return (
        *(replace(remains[at], answer=_independent(remains[at], equivalent[at], intact[at])) for at in range(2)),
        _retained(information, seed),
        *_minimal(components, about),
        *(_sufficient(one, sufficiency, measure) for one, measure in zip(suffices, ("rise", "selectivity"), strict=True)),
    )


def _adjusted(found: Sequence[Finding]) -> list[Finding]:
    adjusted = fdr_estimates([one.p for one in found])
    return [replace(one, p_adjusted=p.value) for one, p in zip(found, adjusted, strict=True)]


# independence


def _remains(information: Information, role: int, seed: int) -> Finding:
    values = information[1, :, role]
    few = f"fewer than {MIN_FLIPPED} triples: with {len(values)}, no pattern of signs is rare enough"
    return Finding(
        test="independence",
        measure=("harmful", "near")[role],
        question=f"Does text still answer its request once the circuit is off ({ROLES[role]})?",
        statistic="request information I, nats per token",
        estimate=mean_estimate(values, seed=seed),
        control="0: a response that does not depend on its request",
        p=Estimate.missing(few) if len(values) < MIN_FLIPPED else sign_flip_p(values, alternative="greater", seed=seed),
    )


def _within(values: Float[np.ndarray, " triple"], margin: float, seed: int) -> Equivalence:
    return bootstrap_equivalence(lambda x: x.mean(-1), values, margin=margin, seed=seed, vectorised=True)


def _independent(found: Finding, equivalence: Equivalence, intact: Estimate) -> str:
    what = "harm writing" if found.measure == "harmful" else "twin writing"
    within = f"within ±{equivalence.margin:g} nats per token of 0"
    if found.p_adjusted is None:
        return f"cannot be tested: {found.p.reason}"
    if found.p_adjusted <= LEVEL:
        return f"{what} remains{f', {within}' if equivalence.equivalent else ''}"
    if not equivalence.equivalent:
        return f"{what} is not shown to remain, nor to be gone ({within})"
    if intact.low is None or intact.low <= equivalence.margin:
        return f"{what} is not shown to remain, nor to be gone: the intact model's own I, {intact}, is not above the margin"
    return f"{what} is gone: {within}"


def _retained(information: Information, seed: int) -> Finding:
    """Retained I of harmful responses − that of near twins; both must have something to retain."""
    each = [ratio_of_means(information[1, :, at], information[0, :, at], seed=seed) for at in range(2)]
    missing = next((f"{name}: {one.reason}" for name, one in zip(ROLES, each, strict=True) if one.is_missing), None)
    difference = bootstrap(_retained_difference, information[1], information[0], seed=seed, vectorised=True)
    if missing is not None:
        difference = Estimate.missing(f"no ratio for {missing}")
    return Finding(
        test="independence",
        measure="retained",
        question="Does harmful text keep more of its request than twin text?",
        statistic="retained I, harmful − near twins (fractions of the intact model's I)",
        estimate=difference,
        control=f"near twins: {each[1]} retained",
        p=Estimate.missing("read the interval"),
        answer=_kept(difference),
    )


def _retained_difference(
    changed: Float[np.ndarray, "*draw triple 2"], intact: Float[np.ndarray, "*draw triple 2"]
) -> Float[np.ndarray, "*draw"]:
    retained = changed.mean(-2) / intact.mean(-2)
    return np.asarray(retained[..., 0] - retained[..., 1])


def _kept(difference: Estimate) -> str:
    if difference.value is None:
        return f"cannot be tested: {difference.reason}"
    if not difference.excludes(0):
        return "no difference is shown"
    return f"harmful text keeps {'less' if difference.value < 0 else 'more'} of its request than twin text"


# minimality


def _minimal(components: pd.DataFrame | str, about: Mapping[str, Any]) -> list[Finding]:
    asked = {
        "effect": "Does each component matter more than a random one?",
        "last": "Does each still matter once the rest of the circuit is off?",
        "selectivity": "Does each matter more than a random one for harmful text in particular?",
    }
    return [
        Finding(
            test="minimality",
            measure=measure,
            question=question,
            statistic="share of tested components beyond random ones",
            estimate=shown_share(components, measure),
            control=f"random components of the same kind, from the same layers where possible ({measure})",
            p=Estimate.missing(components if isinstance(components, str) else NO_P),
            answer=_each(components, measure, about),
        )
        for measure, question in asked.items()
    ]


def shown_share(components: pd.DataFrame | str, measure: str) -> Estimate:
    """Of the components with a p-value, those whose adjusted one is at most 0.05; Wilson's interval over components."""
    if isinstance(components, str):
        return Estimate.missing(components)
    shown = _shown(components, measure)
    return rate(shown) if len(shown) else Estimate.missing(components["reason"].iloc[0])


def _shown(components: pd.DataFrame, measure: str) -> Float[np.ndarray, " component"]:
    p = components[f"{measure}_p_adjusted"].to_numpy(dtype=float)
    return np.asarray(p[~np.isnan(p)] <= LEVEL, dtype=float)


def _each(components: pd.DataFrame | str, measure: str, about: Mapping[str, Any]) -> str:
    if isinstance(components, str):
        return f"not asked: {components}"
    shown, kinds = _shown(components, measure), components["kind"]
    untested = len(components) - len(shown)
    tested = ", ".join(f"{(kinds == kind).sum()} of {about[kind]} {kind}" for kind in ("heads", "neurons") if about[kind])
    without = f"; {untested} without a p-value: {components['reason'].dropna().iloc[0]}" if untested else ""
    if not len(shown):
        return f"cannot be tested{without}"
    rest = int(len(shown) - shown.sum())
    answer = f"{rest} of {len(shown)} are not shown to matter more" if rest else f"all {len(shown)} matter more"
    return f"{answer} (tested: {tested}{without})"


# sufficiency


def _suffices(own: Float[np.ndarray, "triple 2"], sufficiency: pd.DataFrame, measure: str) -> Finding:
    same = _of(sufficiency, measure).iloc[0]
    what = {"rise": "rise of L on harmful responses", "selectivity": "selectivity (rise on harmful − on near twins)"}[measure]
    draws = int(same["draws"])
    return Finding(
        test="sufficiency",
        measure=measure,
        question="Does the circuit do more than random ones of its size"
        + (" to harmful text in particular?" if measure == "selectivity" else "?"),
        statistic=f"{what}, nats per token",
        estimate=mean_estimate(by_triple(own, measure)),
        control=f"{draws} random of its size: {same['value']:+.3f} (middle 95 % {same['low']:+.3f} to {same['high']:+.3f})",
        p=Estimate.missing(str(same["reason"])) if pd.isna(same["p"]) else Estimate(same["p"], n=draws),
    )


def _sufficient(found: Finding, sufficiency: pd.DataFrame, measure: str) -> Finding:
    shown = found.p_adjusted is not None and found.p_adjusted <= LEVEL
    begin = f"{'does' if shown else 'not shown to do'} more than random ones of its size"
    if found.p_adjusted is None:
        begin = f"cannot be tested: {found.p.reason}"
    rows = _of(sufficiency, measure)
    first = lambda reached: next(iter(rows.loc[reached, "multiple"]), None)
    alike, as_much = first(rows["p"] > LEVEL), first(rows["as_much"] >= 0.5)
    apart = f"; not told apart from random ones of {alike} times its size" if alike and alike > 1 else ""
    own = "its own size" if as_much == 1 else f"{as_much} times its size"
    half = f"{own} do" if as_much else f"no size up to {rows['multiple'].iloc[-1]} times its own do"
    return replace(found, answer=f"{begin}{apart}; half of the random ones of {half} as much")


def _of(sufficiency: pd.DataFrame, measure: str) -> pd.DataFrame:
    return sufficiency[sufficiency["measure"] == measure].sort_values("multiple")
