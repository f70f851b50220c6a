"""A difference between the twins of a triple at equal values of what else differs between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .estimate import Estimate, StatisticsError
from .resampling import bootstrap

_ALIKE = 1e-6
"""A covariate whose spread beside the earlier ones is a smaller share of its size says nothing new."""


@dataclass(frozen=True)
class Adjusted:
    """A difference adjusted for covariates.

    Attributes:
        difference: the adjusted mean difference with its interval, in the unit and sign of what was given.
        covariates: those it is adjusted for.
        dropped: those it is not adjusted for, and why.
        distance: how far "all covariates equal" lies from the triples' mean, in standard deviations of the covariates
            (Mahalanobis); 0: in their midst, 2 and more: the line goes on where there are hardly any triples. None where
            nothing was adjusted.
        outside: covariates that are above 0 in all triples, or below it in all: for these the adjusted difference is
            extrapolated, since no triple has equal values or is on the other side.
    """

    difference: Estimate
    covariates: tuple[str, ...]
    dropped: dict[str, str]
    distance: float | None
    outside: tuple[str, ...]


def adjusted_difference(difference: ArrayLike, covariates: Mapping[str, ArrayLike], **options: Any) -> Adjusted:
    """The mean of a per-triple difference at equal covariates: the intercept α of the least-squares line

        difference_i = α + Σ_k β_k · x_ik + error_i

    over triples i, x_ik the difference of covariate k within the triple (harmful − near: of intact L, entropy, length,
    repetition). α is what is left where the twins have the same covariates. It rests on that relation being linear, and on
    covariates that the label does not bring about: what is adjusted for a consequence of harm is adjusted for harm. The
    interval redraws triples and fits the line anew in each draw.

    Covariates are taken in their order. One that is not finite in some triple, constant, or a linear combination of earlier
    ones is dropped and named.

    Args:
        difference: [triple], for selectivity the rise on harmful − the rise on near responses, nats per token.
        covariates: by name, each [triple], harmful − near.
        options: those of `bootstrap`.

    Returns:
        See `Adjusted`. The difference is missing, with the reason, for fewer than (covariates + 3) triples, or where
        `bootstrap` says so.

    Raises:
        StatisticsError: a covariate that does not have one value a triple.

    Source: analysis of covariance of differences; Draper and Smith 1998, chapters 1 and 14.

    >>> length = np.array([4.0, -2.0, 0.0, 1.0, -3.0, 2.0])
    >>> found = adjusted_difference(0.5 + 0.1 * length, {"length": length, "again": 2 * length})
    >>> round(found.difference.value, 3), found.dropped
    (0.5, {'again': 'a linear combination of length'})
    """
    outcome = np.asarray(difference, dtype=np.float64)
    kept, dropped = _usable({name: np.asarray(x, dtype=np.float64) for name, x in covariates.items()}, outcome)
    names, n = tuple(kept), len(outcome)
    if n < len(names) + 3:
        few = f"{n} triples are too few to adjust for {len(names)} covariates: it takes {len(names) + 3}"
        return Adjusted(Estimate.missing(few), names, dropped, None, ())
    x = np.stack(list(kept.values()), axis=1) if kept else np.empty((n, 0))
    unit = x / np.sqrt((x**2).mean(0))  # of one size, so that sums of squares do not lose the smaller ones
    found = bootstrap(_intercept, outcome, unit, vectorised=True, **options)
    outside = tuple(name for name, values in kept.items() if values.min() > 0 or values.max() < 0)
    return Adjusted(found, names, dropped, _distance(unit) if kept else None, outside)


def _usable(
    covariates: Mapping[str, Float[np.ndarray, " triple"]], outcome: Float[np.ndarray, " triple"]
) -> tuple[dict[str, Float[np.ndarray, " triple"]], dict[str, str]]:
    kept: dict[str, Float[np.ndarray, " triple"]] = {}
    dropped: dict[str, str] = {}
    for name, values in covariates.items():
        if values.shape != outcome.shape or outcome.ndim != 1:
            raise StatisticsError(f"{name} and the difference need one value a triple, not {values.shape} and {outcome.shape}")
        if not np.isfinite(values).all():
            dropped[name] = f"not finite in {int((~np.isfinite(values)).sum())} triples"
        elif not len(values) or np.ptp(values) <= _ALIKE * np.abs(values).max():
            dropped[name] = "constant: nothing tells its influence from the difference itself"
        elif kept and _rest(values, np.stack(list(kept.values()), axis=1)) < _ALIKE:
            dropped[name] = f"a linear combination of {', '.join(kept)}"
        else:
            kept[name] = values
    return kept, dropped


def _rest(values: Float[np.ndarray, " triple"], others: Float[np.ndarray, "triple covariate"]) -> float:
    """The share of a covariate's spread that the others, all centred, leave unexplained."""
    centred = values - values.mean()
    design = others - others.mean(0)
    design = design / np.linalg.norm(design, axis=0)
    left = centred - design @ np.linalg.lstsq(design, centred, rcond=None)[0]
    return float(np.linalg.norm(left) / np.linalg.norm(centred))


def _intercept(
    outcome: Float[np.ndarray, "draw triple"], covariates: Float[np.ndarray, "draw triple covariate"]
) -> Float[np.ndarray, " draw"]:
    """nan where a draw leaves covariates collinear. One that is 0 in all triples of a draw (responses of equal length) says
    nothing there, and its β is 0."""
    design = np.concatenate([np.ones((*outcome.shape, 1)), covariates], axis=-1)
    square = np.einsum("dni,dnj->dij", design, design) / outcome.shape[-1]
    across = np.einsum("dni,dn->di", design, outcome) / outcome.shape[-1]
    silent = np.concatenate([np.zeros((len(outcome), 1), dtype=bool), (covariates == 0).all(1)], axis=1)
    square = square + silent[:, :, None] * np.eye(square.shape[-1])
    sizes = np.linalg.eigvalsh(square)
    defined = sizes[:, 0] > _ALIKE**2 * sizes[:, -1]
    square = np.where(defined[:, None, None], square, np.eye(square.shape[-1]))
    return np.where(defined, np.linalg.solve(square, across[..., None])[:, 0, 0], np.nan)


def _distance(covariates: Float[np.ndarray, "triple covariate"]) -> float:
    mean = covariates.mean(0)
    spread = np.atleast_2d(np.cov(covariates, rowvar=False))
    return float(np.sqrt(mean @ np.linalg.solve(spread, mean)))
