"""Estimates with intervals for measurements on triples: arrays in, numbers out; nothing here knows a model.

The unit of resampling is the triple (a harmful request with its matched and unrelated benign requests), or the request where
there are no triples. Every array has the units on axis 0.
"""

from .aurocs import auroc as auroc
from .aurocs import change_of_aurocs as change_of_aurocs
from .aurocs import one_auroc as one_auroc
from .aurocs import retained_signal as retained_signal
from .bootstrap import LEAST_UNITS as LEAST_UNITS
from .bootstrap import from_draws as from_draws
from .bootstrap import mean_estimate as mean_estimate
from .bootstrap import mean_estimates as mean_estimates
from .bootstrap import resamples as resamples
from .bootstrap import two_level as two_level
from .estimate import Estimate as Estimate
from .estimate import wilson as wilson
