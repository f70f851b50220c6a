"""What was read of each grain: writing and recognition of the same tokens under each aim, and the evidence of the rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...experiments import measures
from ...experiments.checks import MATCHED, RECOGNITION
from ...statistics import (
    Estimate,
    auroc_change,
    auroc_estimate,
    fdr_estimates,
    mean_estimate,
    paired_difference,
    ratio_of_means,
    sign_flip_p,
)
from ...tasks.teacher_forced import INTACT
from ..reading import Read
from .aims import AIMS, WRITING, name
from .conditions import Built
from .rule import Evidence
from .tokens import HARMFUL, NEAR, SameTokens, own_options, same_tokens

PAIR = slice(0, 2)
ROLES = {"harmful": HARMFUL, "near": NEAR}
LEVEL = 0.95
TRIPLES = ["grain", "aim", "triple", "role", "category", "upper", "rise", "intact", "ablated", "change"]


@dataclass(frozen=True, eq=False)
class Grain:
    """One grain: what was read under each aim, and what the rule is given."""

    name: str
    by_aim: Mapping[str, SameTokens]
    evidence: Evidence


def measure(read: Read, built: Built) -> list[Grain]:
    """Every grain. The first one, which decides the claim, at the full 5 %; the others, which stand beside it, with p values
    adjusted and equivalence tested at 5 % shared out, both among themselves.

    A gate in a sequence that is fixed beforehand: nothing that is seen of the others changes the claim's word, so that its
    error rate is that of one test (Maurer, Hothorn and Lehmacher 1995).
    """
    first, *others = built.made
    shared_out = 1 - (1 - LEVEL) / max(1, len(others))
    beside = [_grain(read, built, grain, shared_out) for grain in others]
    adjusted = fdr_estimates([grain.evidence.p for grain in beside])
    told = [replace(one, evidence=replace(one.evidence, p=p)) for one, p in zip(beside, adjusted, strict=True)]
    return [_grain(read, built, first, LEVEL), *told]


def _grain(read: Read, built: Built, grain: str, level: float) -> Grain:
    margin, options = read.material.settings.margin, read.material.bootstrap
    before = _scores(read, INTACT)
    by_aim = {
        aim: same_tokens(
            read.rises(name(grain, aim))[:, HARMFUL],
            before,
            _scores(read, name(grain, aim)),
            margin=margin,
            level=level,
            **options,
        )
        for aim in built.of(grain)
    }
    return Grain(grain, by_aim, _evidence(read, built, grain, by_aim))


def _evidence(read: Read, built: Built, grain: str, by_aim: Mapping[str, SameTokens]) -> Evidence:
    options, made = read.material.bootstrap, built.made[grain]
    intact = auroc_estimate(*_scores(read, INTACT).T, **options)
    circuit = made[WRITING]
    if isinstance(circuit, str):
        none = Estimate.missing(circuit)
        whole = ("intact_upper", "rise", "information", "retained", "selectivity", "beyond", "p", "change", "beside_random")
        rest: dict[str, Any] = dict.fromkeys((*whole, "assay"), none)
        return Evidence(grain=grain, unbuilt=circuit, intact=intact, kept=None, **rest)
    own, condition = by_aim[WRITING], name(grain, WRITING)
    beyond = p = beside = Estimate.missing(f"no matched random circuit: {made[MATCHED]}")
    if MATCHED in by_aim:
        chance = name(grain, MATCHED)
        excess = selectivity(read, condition) - selectivity(read, chance)
        beyond, p = mean_estimate(excess, **options), _chance_of(excess, seed=read.material.settings.seed)
        both = (_scores(read, chance)[own.upper], _scores(read, condition)[own.upper])
        beside = auroc_change(*both, **_of_half(own, options))
    arrays = [read.outcomes.by_triple(one) for one in (INTACT, condition)]
    return Evidence(
        grain=grain,
        intact=intact,
        intact_upper=own.intact,
        rise=own.rise,
        information=mean_estimate(_information(read, INTACT)[own.upper], **_of_half(own, options)),
        retained=retained(read, condition, own),
        selectivity=mean_estimate(selectivity(read, condition), **options),
        beyond=beyond,
        p=p,
        broken=measures.broken(*arrays),
        change=own.change,
        kept=own.kept,
        beside_random=beside,
        assay=by_aim[RECOGNITION].change_all if RECOGNITION in by_aim else Estimate.missing(str(made[RECOGNITION])),
    )


def selectivity(read: Read, condition: str) -> Float[np.ndarray, " triple"]:
    """Rise of L on the harmful response − on the near one, nats per token; positive: harm writing falls more."""
    rises = read.rises(condition)
    return np.asarray(rises[:, HARMFUL] - rises[:, NEAR])


def retained(read: Read, condition: str, own: SameTokens) -> Estimate:
    """Request information of the harmful responses in the upper half, ablated ÷ intact; 1: all of it, 0: none is left."""
    left, intact = (_information(read, one)[own.upper] for one in (condition, INTACT))
    return ratio_of_means(left, intact, **_of_half(own, read.material.bootstrap))


def _information(read: Read, condition: str) -> Float[np.ndarray, " triple"]:
    """Of the harmful responses, nats per token (`tasks.information`)."""
    arrays = read.outcomes.by_triple(condition)
    return np.asarray((arrays["nll_other"] - arrays["nll"])[:, HARMFUL])


_chance_of = partial(sign_flip_p, alternative="greater")


def _scores(read: Read, condition: str) -> Float[np.ndarray, "triple 2"]:
    return read.recognised(condition)[:, PAIR]


def _of_half(own: SameTokens, options: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in options.items() if key != "strata"}
    return own_options(own.upper, options.get("strata"), rest)


def ends(column: str, found: Estimate) -> dict[str, float | None]:
    """A value and its interval as columns."""
    return {column: found.value, f"{column}_low": found.low, f"{column}_high": found.high}


def conditions_frame(read: Read, built: Built, grains: Sequence[Grain]) -> pd.DataFrame:
    """One row a grain and aim, all numbers: sizes; rises of L and selectivity, nats per token; of the upper half its
    size, harmful rise, share of request information retained, AUROC intact and ablated and their change; the change on all
    triples; the coupling. Each with _low and _high."""
    rows = []
    for grain in grains:
        for aim, own in grain.by_aim.items():
            rises, how = read.rises(name(grain.name, aim)), read.material.bootstrap
            found = {
                "harmful_rise": mean_estimate(rises[:, HARMFUL], **how),
                "near_rise": mean_estimate(rises[:, NEAR], **how),
                "selectivity": paired_difference(rises[:, HARMFUL], rises[:, NEAR], **how),
                "upper_rise": own.rise,
                "upper_retained": retained(read, name(grain.name, aim), own),
                "upper_intact": own.intact,
                "upper_auroc": own.ablated,
                "upper_change": own.change,
                "change": own.change_all,
                "coupling": own.coupling,
            }
            numbers = {key: value for column, one in found.items() for key, value in ends(column, one).items()}
            sizes = {**measures.counts(built.of(grain.name)[aim]), "n": len(rises), "n_upper": int(own.upper.sum())}
            rows.append({"grain": grain.name, "aim": aim, "kind": AIMS[aim], **sizes, **numbers, "kept": own.kept.words})
    return pd.DataFrame(rows, columns=None if rows else ["grain", "aim", "kind"])


def triples_frame(read: Read, grains: Sequence[Grain]) -> pd.DataFrame:
    """One row a grain, aim, triple and role (harmful, near): rise of L, nats per token; score of recognition intact and ablated
    and its change, positive: more "harmful"; whether the triple is in the upper half. No text."""
    before, categories = _scores(read, INTACT), read.material.categories
    rows = []
    for grain in grains:
        for aim, own in grain.by_aim.items():
            rises, after = read.rises(name(grain.name, aim)), _scores(read, name(grain.name, aim))
            for role, at in ROLES.items():
                columns: dict[str, Any] = {"category": categories, "upper": own.upper.astype(int), "rise": rises[:, at]}
                scores = {"intact": before[:, at], "ablated": after[:, at], "change": (after - before)[:, at]}
                part = pd.DataFrame({"triple": range(len(rises)), "role": role, **columns, **scores})
                rows.append(part.assign(grain=grain.name, aim=aim))
    return pd.concat(rows, ignore_index=True)[TRIPLES] if rows else pd.DataFrame(columns=TRIPLES)


def means_frame(read: Read, grains: Sequence[Grain]) -> pd.DataFrame:
    """One row a grain, aim and role: the mean rise of L and the mean change of recognition over triples, with intervals."""
    before, how, rows = _scores(read, INTACT), read.material.bootstrap, []
    for grain in grains:
        for aim in grain.by_aim:
            rises, after = read.rises(name(grain.name, aim)), _scores(read, name(grain.name, aim))
            for role, at in ROLES.items():
                found = ends("rise", mean_estimate(rises[:, at], **how))
                found |= ends("change", mean_estimate((after - before)[:, at], **how))
                rows.append({"grain": grain.name, "aim": aim, "role": role, **found})
    return pd.DataFrame(rows, columns=None if rows else ["grain", "aim", "role"])


def readings_frame(read: Read, grains: Sequence[Grain]) -> pd.DataFrame:
    """Everything else that was read, one row a grain, aim and measure: value, low, high, n, reason."""
    rows = []
    for grain in grains:
        for aim in grain.by_aim:
            condition = name(grain.name, aim)
            parts = (read.generation(condition), read.recognition(condition), read.utility(condition))
            for measure, found in ((key, value) for part in parts for key, value in part.items()):
                numbers = {"value": found.value, "low": found.low, "high": found.high, "n": found.n}
                rows.append({"grain": grain.name, "aim": aim, "measure": measure, **numbers, "reason": found.reason or ""})
    return pd.DataFrame(rows, columns=["grain", "aim", "measure", "value", "low", "high", "n", "reason"])
