"""Named parts of a model: circuits of heads and neurons, masks of single weights; algebra, overlap, files."""

from .circuit import Circuit as Circuit
from .circuit import CircuitError as CircuitError
from .circuit import Component as Component
from .circuit import by_layer as by_layer
from .mask import MaskError as MaskError
from .mask import WeightMask as WeightMask
from .outgoing import outgoing as outgoing
from .overlap import overlap as overlap
from .provenance import Provenance as Provenance
from .provenance import provenance as provenance
from .provenance import read_provenance as read_provenance
