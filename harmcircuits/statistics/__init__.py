"""Estimates with intervals, null distributions, equivalence and power, for measurements taken on triples.

The unit of resampling is the triple (a harmful request with its near and far twin). Every array is indexed by triple on
axis 0, so that a bootstrap draw takes whole triples, and the same seed and number of triples give the same draws for
every statistic: whatever is compared is paired. Nothing here knows a model; arrays come in, numbers go out.
"""

from .comparisons import mean_estimate, mean_estimates, paired_difference, ratio, ratio_of_means
from .decisions import MIN_NULL_DRAWS, fdr, fdr_estimates, fdr_named, p_value
from .effects import aim_by_task, aim_by_task_null, standardised_effect
from .estimate import Estimate, StatisticsError
from .intervals import MAX_UNDEFINED, MIN_TRIPLES, from_draws
from .margins import Equivalence, equivalent_within
from .paired_auroc import auroc_change, auroc_draws, auroc_estimate
from .permutations import sign_flip_p
from .power import detectable, detectable_auroc, n_for_equivalence
from .ranks import auroc, auroc_se
from .resampling import bootstrap, bootstrap_draws, resamples
from .shares import wilson
from .strata import strata_codes
from .two_level import two_level, two_level_mean

__all__ = [
    "MAX_UNDEFINED",
    "MIN_NULL_DRAWS",
    "MIN_TRIPLES",
    "Equivalence",
    "Estimate",
    "StatisticsError",
    "aim_by_task",
    "aim_by_task_null",
    "auroc",
    "auroc_change",
    "auroc_draws",
    "auroc_estimate",
    "auroc_se",
    "bootstrap",
    "bootstrap_draws",
    "detectable",
    "detectable_auroc",
    "equivalent_within",
    "fdr",
    "fdr_estimates",
    "fdr_named",
    "from_draws",
    "mean_estimate",
    "mean_estimates",
    "n_for_equivalence",
    "p_value",
    "paired_difference",
    "ratio",
    "ratio_of_means",
    "resamples",
    "sign_flip_p",
    "standardised_effect",
    "strata_codes",
    "two_level",
    "two_level_mean",
    "wilson",
]
