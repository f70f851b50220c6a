"""Models whose answer is known: `hc.organisms.planted()`."""

from .organism import VARIANTS as VARIANTS
from .organism import Planted as Planted
from .organism import planted as planted
