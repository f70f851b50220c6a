"""Does another rule of selection spare near twins more than the set difference, at the same loss of harmful writing?"""

from .claim import AIM as AIM
from .claim import Rules as Rules
from .run import cost as cost
from .run import rules as rules
from .run import swept as swept
