"""Circuits of heads and neurons, masks of single weights: algebra, overlap and files.

`selection` and `controls` need scores and are not imported here: `attribution` imports this room.
"""

from .circuit import Circuit as Circuit
from .circuit import Component as Component
from .circuit import by_layer as by_layer
from .circuit import component_name as component_name
from .weight_mask import WeightMask as WeightMask
from .weight_mask import outgoing as outgoing
from .weight_mask import overlap as overlap
