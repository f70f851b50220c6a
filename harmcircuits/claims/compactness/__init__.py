"""Compactness: how small a part of the model has to be off until half of its harmful writing is gone, and what goes with it.

`grid` says which sizes, `plan` what is off at each, `curves` what that does, `summary` the numbers of a curve, `decision` what
follows from them, `claim` puts it together.
"""

from .claim import Compactness as Compactness
from .claim import compactness as compactness
