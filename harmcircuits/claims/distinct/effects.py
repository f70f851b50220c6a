"""What falls without each circuit: writing harm, writing near twins, and each capability, and whether they cross over.

The drop of a task is the rise of L (ablated − intact, nats per token; positive: it falls): of harmful and near responses by
triple, of right completions by sentence. Its standardised effect is d = mean / standard deviation over these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...statistics import (
    Estimate,
    bootstrap,
    bootstrap_draws,
    fdr_named,
    from_draws,
    mean_estimate,
    p_value,
    sign_flip_p,
    standardised_effect,
)

FEWEST = 3
NULL_DRAWS = 999
NO_SPREAD = "all of them fall by the same amount: there is no spread to compare with"

Drops = Mapping[str, Mapping[str, Float[np.ndarray, " unit"]]]
"""By what is off (an aim) and by task."""


@dataclass(frozen=True)
class Crossing:
    """Does each of two tasks fall more under its own circuit than under the other's? Standardised effects; positive: it does.

    Attributes:
        interaction: the sum of both differences.
        harm: d of writing harm, under the circuit aimed at harm − under the one aimed at the capability.
        capability: d of the capability, under the circuit aimed at it − under the one aimed at harm.
        p: of the interaction, against the two circuits swapped at random within each triple and sentence.
    """

    interaction: Estimate
    harm: Estimate
    capability: Estimate
    p: Estimate


def crossing(
    harm: Float[np.ndarray, "2 triple"],
    capability: Float[np.ndarray, "2 sentence"],
    options: Mapping[str, Any],
    *,
    null_draws: int = NULL_DRAWS,
) -> Crossing:
    """The double dissociation of harm and one capability.

        d[aim, task] = mean of the drop / s_task,      s_task² = the mean over both aims of the drop's variance
        I = (d[harm, harm] − d[capability, harm]) + (d[capability, capability] − d[harm, capability])

    as `statistics.aim_by_task`, with tasks whose units are not the same: triples and sentences are drawn apart. Both brackets
    compare two circuits on one task. Two tasks under one circuit would not compare: a response of many tokens spreads less than
    a completion of one, and so has the larger d at the same rise.

    Args:
        harm: drop of writing harm, [aimed at harm, aimed at the capability].
        capability: drop of the capability, likewise.
        options: of the bootstrap over triples; sentences are drawn with the next seed and without strata.
        null_draws: for the p value.
    """
    few = min(harm.shape[1], capability.shape[1])
    if few < FEWEST:
        return Crossing(*[Estimate.missing(f"fewer than {FEWEST} triples or sentences were read")] * 4)
    draws, seed = int(options.get("draws", 2000)), int(options.get("seed", 0))
    own: list[dict[str, Any]] = [
        {"draws": draws, "seed": seed, "strata": options.get("strata")},
        {"draws": draws, "seed": seed + 1},
    ]
    observed = [_by_spread(task[None])[0] for task in (harm, capability)]
    drawn = [_drawn(task, some) for task, some in zip((harm, capability), own, strict=True)]

    def estimated(of: Any) -> Estimate:
        value = float(of(*observed))
        return from_draws(value, of(*(one.T for one in drawn)), n=few) if np.isfinite(value) else Estimate.missing(NO_SPREAD)

    of_harm = lambda h, c: h[0] - h[1]
    of_capability = lambda h, c: c[1] - c[0]
    both = lambda h, c: of_harm(h, c) + of_capability(h, c)
    interaction = estimated(both)
    p = Estimate.missing(f"the interaction is missing: {interaction.reason}")
    if interaction.value is not None:
        null = [_by_spread(_swapped(task, null_draws, seed + at)).T for at, task in enumerate((harm, capability))]
        p = p_value(interaction.value, both(*null))
    return Crossing(interaction, estimated(of_harm), estimated(of_capability), p)


def _by_spread(drops: Float[np.ndarray, "draw 2 unit"]) -> Float[np.ndarray, "draw 2"]:
    """The mean drop under either circuit, in units of the task's spread; nan where it has none."""
    spread = np.sqrt(drops.var(-1, ddof=1).mean(-1, keepdims=True))
    flat = (np.ptp(drops, axis=-1) == 0).all(-1, keepdims=True)
    return np.asarray(drops.mean(-1) / np.where(flat, np.nan, spread))


def _drawn(drops: Float[np.ndarray, "2 unit"], options: Mapping[str, Any]) -> Float[np.ndarray, "draw 2"]:
    of = lambda at: bootstrap_draws(lambda x: _by_spread(np.moveaxis(x, -1, -2))[:, at], drops.T, vectorised=True, **options)
    return np.stack([of(0), of(1)], -1)  # the same seed: the same draws


def _swapped(drops: Float[np.ndarray, "2 unit"], draws: int, seed: int) -> Float[np.ndarray, "draw 2 unit"]:
    swap = np.random.default_rng(seed).random((draws, 1, drops.shape[1])) < 0.5
    return np.where(swap, drops[::-1], drops)


def effects(drops: Drops, *, triples: Mapping[str, Any], sentences: Mapping[str, Any], harm: tuple[str, ...]) -> pd.DataFrame:
    """One row an aim and task, as `figures.distinct_effects` takes them: condition, aim, task, value (d), low, high, drop
    (nats per token) with drop_low and drop_high, p (sign flips), p_adjusted (over all cells), n, unit, reason.

    Args:
        drops: see `Drops`.
        triples: options of the bootstrap of tasks whose units are triples.
        sentences: of the others.
        harm: the tasks whose units are triples.
    """
    rows = []
    for aim, tasks in drops.items():
        for task, fallen in tasks.items():
            options = triples if task in harm else sentences
            found = {"condition": f"aimed at {aim}", "aim": aim, "task": task, "unit": "nats per token"}
            rows.append(found | _cell(fallen, options))
    frame = pd.DataFrame(rows)
    frame.insert(list(frame.columns).index("p") + 1, "p_adjusted", fdr_named(frame["p"]))
    return frame.astype(dict.fromkeys(("value", "low", "high", "drop_low", "drop_high", "p"), float))


def _cell(fallen: Float[np.ndarray, " unit"], options: Mapping[str, Any]) -> dict[str, Any]:
    drop = mean_estimate(fallen, **options)
    d = Estimate.missing(NO_SPREAD)
    if len(fallen) >= FEWEST and np.ptp(fallen) > 0:
        d = bootstrap(standardised_effect, fallen, vectorised=True, **options)
    p = sign_flip_p(fallen, seed=int(options.get("seed", 0)))
    return {
        "value": d.value,
        "low": d.low,
        "high": d.high,
        "drop": drop.value,
        "drop_low": drop.low,
        "drop_high": drop.high,
        "p": p.value,
        "n": len(fallen),
        "reason": d.reason or "",
    }
