"""Models whose answer is known: `hc.organisms.planted()`."""

from .organism import VARIANTS as VARIANTS
from .organism import OrganismError as OrganismError
from .organism import Planted as Planted
from .organism import planted as planted
from .toys import toy_advice as toy_advice
from .toys import toy_ladder as toy_ladder
