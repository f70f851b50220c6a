"""Every effect size of every condition as one tidy table: condition, effect, role, value, low, high, n, reason."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ..ablation.ablate import BASELINE, Condition
from ..statistics import Estimate
from .effects import Effects

OUTCOMES = ("complied", "refused", "degenerate")
RATES = (*OUTCOMES, *(f"{outcome}_sampled" for outcome in OUTCOMES), "complied_judged", "refused_judged", "refusal")
MEANS = ("recognition", "bias", "refusal_mass", "one_sided")
AUROCS = ("recognition", "one_sided", "in_place", "many_shot", "probe", "probe_last")
ITEMS = ("explanation", "fact", "passage")
"""Measures of items that are no test prompts."""
Effect = tuple[str, str, Estimate]
"""Name, role, estimate."""


def effect_table(
    effects: Effects, conditions: Sequence[Condition], estimates: Mapping[tuple[str, str], Mapping[str, Estimate]]
) -> pd.DataFrame:
    """Return one row a condition, effect and role; `estimates` of (circuit, contrast) are effects "NAME (CONTRAST)"."""
    rows = []
    for condition in conditions:
        labels = {"condition": condition.name} | {key: condition.labels.get(key, "") for key in ("component", "control")}
        own: list[Effect] = [*_by_role(effects, condition.name), *_by_contrast(effects, condition.name)]
        own += _of_items(effects, condition.name)
        own += [
            (f"{effect} ({contrast})", "all", estimate)
            for (circuit, contrast), each in estimates.items()
            if circuit == condition.name
            for effect, estimate in each.items()
        ]
        rows += [labels | {"effect": effect, "role": role} | columns_of(estimate) for effect, role, estimate in own]
    return pd.DataFrame(rows)


def _by_role(effects: Effects, name: str) -> Iterator[Effect]:
    has, ablated = effects.outcomes.has, name != BASELINE
    for role in effects.roles:
        if ablated and has(name, "loss"):
            yield "loss_increase", role, effects.mean(effects.change(name, "loss", role), role)
        for measure in RATES:
            if has(name, measure):
                yield measure, role, effects.rate(name, measure, role)
                if ablated and has(BASELINE, measure):
                    yield f"{measure}_change", role, effects.mean(effects.change(name, measure, role), role)
        for measure in MEANS:
            if has(name, measure):
                yield f"{measure}_mean", role, effects.mean(effects.values(name, measure, role), role)


def _by_contrast(effects: Effects, name: str) -> Iterator[Effect]:
    """Effects of harmful against benign requests."""
    has, ablated = effects.outcomes.has, name != BASELINE
    for role in effects.roles[1:]:
        for measure in AUROCS:
            if has(name, measure):
                yield f"{measure}_auroc", role, effects.auroc(name, measure, role)
                if ablated:
                    yield f"{measure}_auroc_change", role, effects.auroc_change(name, measure, role)
        if has(name, "recognition"):
            yield "d_prime", role, effects.d_prime(name, "recognition", role)
            if ablated:
                yield "d_prime_change", role, effects.d_prime_change(name, "recognition", role)
        if ablated and has(name, "refused"):
            harmful, benign = (effects.change(name, "refused", kind) for kind in ("harmful", role))
            yield "refused_change_beyond", role, effects.difference(harmful, "harmful", benign, role)
            yield "refused_specific_share", role, effects.specific_share(name, role, "refused")


def _of_items(effects: Effects, name: str) -> Iterator[Effect]:
    for measure in ITEMS:
        values, before = (effects.outcomes.values(condition, measure) for condition in (name, BASELINE))
        if len(values):
            yield measure, "all", effects.items(values)
            if name != BASELINE:
                yield f"{measure}_change", "all", effects.items(values - before)


def columns_of(estimate: Estimate) -> dict[str, Any]:
    """Return the columns value, low, high, n and reason of one estimate."""
    return {key: getattr(estimate, key) for key in ("value", "low", "high", "n")} | {"reason": estimate.reason or ""}


def estimate_of(row: Mapping[Any, Any]) -> Estimate:
    """Return the estimate again of a row that `columns_of` wrote."""
    if pd.isna(row["value"]):
        return Estimate.missing(str(row["reason"]))
    low, high = (None, None) if pd.isna(row["low"]) else (float(row["low"]), float(row["high"]))
    return Estimate(float(row["value"]), low, high, int(row["n"]))


def interval_text(estimate: Estimate, *, percent: bool = False, sign: str = "", missing: str = "—") -> str:
    """Return value and interval to two decimals (to two digits where all are below 0.005), or in whole percent.

    >>> interval_text(Estimate(0.5, -0.001, 0.75, 9)), interval_text(Estimate(2e-4, n=9))
    ('0.50 [0.00, 0.75]', '0.0002')
    """
    numbers = [number for number in (estimate.value, estimate.low, estimate.high) if number is not None]
    if not numbers:
        return missing
    if percent:
        value, *ends = (f"{round(100 * number)}" for number in numbers)
    elif not sign and 0 < max(map(abs, numbers)) < 0.005:
        value, *ends = (f"{number:.2g}" for number in numbers)
    else:
        value, *ends = (f"{round(number, 2) + 0.0:{sign}.2f}" for number in numbers)  # + 0.0: no minus zero
    return value + (" %" if percent else "") + (f" [{', '.join(ends)}]" if ends else "")
