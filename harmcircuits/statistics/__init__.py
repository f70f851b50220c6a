"""Estimates with intervals for measurements on triples: arrays in, numbers out; nothing here knows a model.

The unit of resampling is the triple (a harmful request with its matched and unrelated benign requests), or the request where
there are no triples. Every array has the units on axis 0.
"""

from .aurocs import auroc, auroc_estimate, change_of_aurocs, one_auroc, retained_signal
from .bootstrap import LEAST_UNITS, MAX_UNDEFINED, from_draws, mean_estimate, mean_estimates, resamples
from .estimate import Estimate, StatisticsError, wilson
from .two_level import two_level, two_level_mean

__all__ = [
    "LEAST_UNITS",
    "MAX_UNDEFINED",
    "Estimate",
    "StatisticsError",
    "auroc",
    "auroc_estimate",
    "change_of_aurocs",
    "from_draws",
    "mean_estimate",
    "mean_estimates",
    "one_auroc",
    "resamples",
    "retained_signal",
    "two_level",
    "two_level_mean",
    "wilson",
]
