"""The same comparison for single weights: as many of each matrix by each rule, read by the loss alone."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...ablation.sweep import sweep
from ...attribution.weight_scores import WeightAttribution
from ...attribution.weights import attribute_weights
from ...components import WeightMask
from ...examples import Example
from ...experiments.names import name_of_examples
from ...selection.protected import SelectionError
from ...selection.rules.weights import WEIGHT_RULES
from ..material import ROLES, Material
from .front import HARMFUL, NEAR, at_rise
from .plan import FIRST, Plan

log = logging.getLogger(__name__)
GRID: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "difference": ("penalty", (1.0, 0.1, 0.3)),
    "ratio": ("floor", (1.0, 0.1, 10.0)),
}
COLUMNS = ["rule", "option", "at", "weights", "example", "rise"]
Losses = Float[np.ndarray, "size example"]
Masks = list[WeightMask | None]


def weight_rises(material: Material, choosing: Sequence[Example], held_out: Sequence[Example], plan: Plan) -> pd.DataFrame:
    """Rises of L on the held-out examples by rule and size: columns rule, option (chosen on the choosing examples), at (the
    size), weights (in the mask), example, rise (nats per token). Kept in the journal.

    q is the setting's times each factor, p the setting's. No rows for a size at which nothing is selected.

    Args:
        choosing: whole triples in a row, from which weights are chosen and, the first few, options.
        held_out: likewise, on which masks are read.
    """
    settings = material.settings
    names = [name_of_examples(part) for part in (choosing, held_out)]
    grid = [[rule, *options] for rule, (_, options) in GRID.items()]
    key = [material.key, *names, settings.weight_q, settings.weight_p, plan.factors, plan.tuning_triples, grid]
    return material.journal.frame("weights", key, lambda: _measured(material, choosing, held_out, plan))


def _measured(material: Material, choosing: Sequence[Example], held_out: Sequence[Example], plan: Plan) -> pd.DataFrame:
    benign = [example for at, example in enumerate(choosing) if at % ROLES]
    W = attribute_weights(material.model, list(choosing[::ROLES]), benign=benign)
    first = _masks(W, material, plan, FIRST, None)
    options = _tuned(W, material, plan, first, choosing[: ROLES * plan.tuning_triples])
    paths = {FIRST: first} | {rule: _masks(W, material, plan, rule, option) for rule, option in options.items()}
    rows: list[tuple[Any, ...]] = []
    for rule, losses in _swept(material, paths, held_out).items():
        for at, (mask, rises) in enumerate(zip(paths[rule], losses, strict=True)):
            if mask is not None:
                rows += [(rule, options.get(rule, np.nan), at, len(mask), place, rise) for place, rise in enumerate(rises)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _masks(W: WeightAttribution, material: Material, plan: Plan, rule: str, option: float | None) -> Masks:
    found: Masks = []
    settings = material.settings
    more = {GRID[rule][0]: option} if option is not None else {}
    for factor in plan.factors:
        try:
            found.append(WEIGHT_RULES[rule](W, q=min(1.0, factor * settings.weight_q), p=settings.weight_p, **more))
        except SelectionError as error:
            log.warning("no mask of weights by %s at %g times the default q: %s", rule, factor, error)
            found.append(None)
    return found


def _tuned(W: WeightAttribution, material: Material, plan: Plan, first: Masks, examples: Sequence[Example]) -> dict[str, float]:
    """As `Chooser.tuned`: the smallest rise on near twins at the set difference's harmful rise."""
    paths: dict[Any, Masks] = {(FIRST, 0.0): first}
    paths |= {(rule, option): _masks(W, material, plan, rule, option) for rule, (_, tried) in GRID.items() for option in tried}
    means = {
        own: np.stack([rises[:, role::ROLES].mean(1) for role in (HARMFUL, NEAR)])
        for own, rises in _swept(material, paths, examples).items()
    }
    target = means[FIRST, 0.0][0, plan.default]
    chosen = {}
    for rule, (_, tried) in GRID.items():
        near = {option: float(at_rise(target, *means[rule, option])) for option in tried}
        reached = {option: rise for option, rise in near.items() if np.isfinite(rise)}
        chosen[rule] = min(reached, key=reached.__getitem__) if reached else tried[0]
    return chosen


def _swept(material: Material, paths: Mapping[Any, Masks], examples: Sequence[Example]) -> dict[Any, Losses]:
    masks = list(dict.fromkeys(mask for path in paths.values() for mask in path if mask is not None))
    losses = sweep(material.model, [None, *masks], examples).double().numpy()
    rise = dict(zip(masks, losses[1:] - losses[0], strict=True))
    unknown = np.full(len(examples), np.nan)
    return {own: np.stack([unknown if mask is None else rise[mask] for mask in path]) for own, path in paths.items()}
