"""Is the circuit that writes harm another one than those of benign capabilities: in its parts, and in what falls without it?"""

from .claim import Distinct as Distinct
from .claim import distinct as distinct
