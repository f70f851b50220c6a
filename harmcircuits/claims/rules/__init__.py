"""Does another rule of selection spare near twins more than the set difference, at the same loss of harmful writing?"""

from .claim import Rules as Rules
from .decision import AIM as AIM
from .run import cost as cost
from .run import rules as rules
from .run import swept as swept
