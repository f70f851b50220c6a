"""Named parts of a model: circuits of heads and neurons, masks of single weights; algebra, overlap, files."""

from .circuit import Circuit as Circuit
from .circuit import CircuitError as CircuitError
from .circuit import Component as Component
from .mask import MaskError as MaskError
from .mask import WeightMask as WeightMask
