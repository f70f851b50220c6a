"""Is it one mechanism? The scores of the training triples, category by category: statistics.mechanisms on them."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from ...attribution.scores import Attribution
from ...statistics import Estimate
from ...statistics.mechanisms import Sharing, beyond, cosines, leading, sharing
from ..material import Material

LEADING = 1000
"""Components of the vectors that are compared; the others are small on every triple."""
BEYOND = {"harmful": "near", "near": "harmful", "far": "near"}
"""The twin beyond which the agreement of a role's scores is counted."""
MEASURES = ("shared", "within", "between", "participation", "first")
PERMUTATIONS = 999


def named(aim: str) -> str:
    """Of the row: "harmful beyond near"."""
    return f"{aim} beyond {BEYOND[aim]}"


def unity(material: Material) -> tuple[pd.DataFrame, dict[str, Sharing]]:
    """One row a set of scores and measure, and what they are: each role beyond its twin, and each role alone."""
    roles = ("harmful", "near", "far")
    tables = [_flat(getattr(material.scores, role)) for role in roles]
    parts = dict(zip(roles, np.split(leading(np.concatenate(tables), LEADING), len(roles)), strict=True))
    grams = {named(aim): beyond(parts[aim], parts[twin]) for aim, twin in BEYOND.items()}
    grams |= {role: cosines(parts[role]) for role in roles}
    draws, seed = material.settings.bootstrap_draws, material.settings.seed
    how: dict[str, Any] = {"draws": draws, "permutations": PERMUTATIONS, "seed": seed}
    found = {name: sharing(gram, material.training_categories, **how) for name, gram in grams.items()}
    frame = pd.DataFrame([_row(name, measure, one) for name, one in found.items() for measure in MEASURES])
    numbers = ["value", "low", "high", "p_value", "permuted", "permuted_low", "permuted_high"]
    return frame.astype(dict.fromkeys(numbers, float)), found


def _flat(scores: Attribution) -> Float[np.ndarray, "triple component"]:
    parts = [scores.per_example_heads.flatten(1), scores.per_example_neurons.flatten(1)]
    return np.asarray(torch.cat(parts, 1).double().numpy())


def _row(name: str, measure: str, found: Sharing) -> dict[str, object]:
    value: Estimate = getattr(found, measure)
    p = {"shared": found.p_value, "participation": found.participation_p}.get(measure)
    permuted = found.permuted if measure == "participation" else None
    row: dict[str, object] = {"scores": name, "measure": measure, "value": value.value, "low": value.low, "high": value.high}
    row["p_value"] = None if p is None else p.value
    for end, attribute in (("", "value"), ("_low", "low"), ("_high", "high")):
        row[f"permuted{end}"] = None if permuted is None else getattr(permuted, attribute)
    return row | {"n": value.n, "reason": value.reason or ""}
