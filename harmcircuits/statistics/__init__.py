"""Estimates with intervals, null distributions, equivalence and power, for measurements taken on triples.

The unit of resampling is the triple (a harmful request with its near and far twin). Every array is indexed by triple on
axis 0, so that a bootstrap draw takes whole triples, and the same seed and number of triples give the same draws for
every statistic: whatever is compared is paired. Nothing here knows a model; arrays come in, numbers go out.
"""

from .agreement import pearson, slope, spearman, spearman_brown, standard_interval, times_needed, top_overlap
from .decisions import MIN_NULL_DRAWS, Equivalence, bootstrap_equivalence, equivalence, fdr, p_value
from .effects import aim_by_task, aim_by_task_null, standardised_effect
from .estimate import Estimate, StatisticsError
from .power import detectable, detectable_auroc, n_for_equivalence, n_needed
from .ranks import auroc, auroc_se
from .resampling import (
    MAX_UNDEFINED,
    MIN_TRIPLES,
    Method,
    bootstrap,
    bootstrap_draws,
    from_draws,
    mean_estimate,
    paired_difference,
    ratio,
    ratio_of_means,
    resamples,
)

__all__ = [
    "MAX_UNDEFINED",
    "MIN_NULL_DRAWS",
    "MIN_TRIPLES",
    "Equivalence",
    "Estimate",
    "Method",
    "StatisticsError",
    "aim_by_task",
    "aim_by_task_null",
    "auroc",
    "auroc_se",
    "bootstrap",
    "bootstrap_draws",
    "bootstrap_equivalence",
    "detectable",
    "detectable_auroc",
    "equivalence",
    "fdr",
    "from_draws",
    "mean_estimate",
    "n_for_equivalence",
    "n_needed",
    "p_value",
    "paired_difference",
    "pearson",
    "ratio",
    "ratio_of_means",
    "resamples",
    "slope",
    "spearman",
    "spearman_brown",
    "standard_interval",
    "standardised_effect",
    "times_needed",
    "top_overlap",
]
