"""Random weights that cost benign text as much as another mask does: the control of relearning."""

from math import prod

import pandas as pd
import torch

from ...ablation.hooks import ablated
from ...components import WeightMask
from ...experiments.names import name_of
from ...tasks.utility import utility
from .study import Study

MOST = 0.5
"""Of all weights at most: beyond, nothing is left to be compared."""
STEPS = 6
"""Halvings between the last size that costs less and the first that costs as much."""


def damaging(study: Study, like: WeightMask, *, seed: int) -> tuple[WeightMask, pd.DataFrame]:
    """Random weights of all matrices, at least as many as `like`, grown until L on plain passages rises by as much.

    Their share is doubled until they cost enough, or are half of the model; then the range between the last two shares is
    halved. Larger masks of one seed hold the smaller ones.

    Returns:
        The mask; and one row: seed, fraction, cost and wanted (rises of L, nats per token).
    """
    key = [study.key, name_of(like), seed, study.settings.passages]
    found = study.journal.frame("damage", key, lambda: pd.DataFrame([_searched(study, like, seed)]))
    return spread(like, float(found["fraction"].iloc[0]), seed=seed), found


def unreached(damage: pd.DataFrame) -> list[int]:
    """Seeds of which half of all weights cost less than what they are to be compared with.

    >>> unreached(pd.DataFrame({"seed": [0, 1], "cost": [0.2, 0.1], "wanted": [0.2, 0.2]}))
    [1]
    """
    return [int(row["seed"]) for row in damage.to_dict("records") if row["cost"] < row["wanted"]]


def undamaging(damage: pd.DataFrame) -> bool:
    """Whether what random weights are to cost as much as costs nothing, so that none of them had to be grown.

    >>> undamaging(pd.DataFrame({"wanted": [-0.01]})), undamaging(pd.DataFrame({"wanted": [0.2]}))
    (True, False)
    """
    return bool((damage["wanted"] <= 0).any()) if len(damage) else False


def passage_loss(study: Study, mask: WeightMask | None) -> float:
    """L on plain passages with the mask off, nats per token."""
    with ablated(study.model, mask):
        return float(utility(study.model, n_facts=0, n_passages=study.settings.passages)["nll"].mean())


def spread(like: WeightMask, fraction: float, *, seed: int) -> WeightMask:
    """At random, about this share of every matrix; of one seed, a larger share holds a smaller one."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {
        name: (torch.rand(prod(shape), generator=generator) < fraction).nonzero().flatten()
        for name, shape in like.shapes.items()
    }
    return WeightMask(indices=drawn, shapes=like.shapes)


def _searched(study: Study, like: WeightMask, seed: int) -> dict[str, float]:
    intact = passage_loss(study, None)
    cost_of = lambda fraction: passage_loss(study, spread(like, fraction, seed=seed)) - intact
    wanted = passage_loss(study, like) - intact
    less, enough = 0.0, like.fraction
    cost = cost_of(enough)
    while cost < wanted and enough < MOST:
        less, enough = enough, min(MOST, 2 * enough)
        cost = cost_of(enough)
    for _ in range(STEPS if less and cost >= wanted else 0):
        middle = (less * enough) ** 0.5
        if (tried := cost_of(middle)) >= wanted:
            enough, cost = middle, tried
        else:
            less = middle
    return {"seed": seed, "fraction": enough, "cost": cost, "wanted": wanted}
