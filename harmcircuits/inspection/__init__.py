"""From a component to what it does: which tokens it answers to, what it writes, and where it looks.

Scores say that a head or neuron matters; these look at one of them at a time. They read activations and weights, change
nothing, and say nothing of causes: what a component *does* is shown by ablating it.
"""

from .attention import AttentionPattern as AttentionPattern
from .attention import attention_pattern as attention_pattern
from .direct import DirectEffects as DirectEffects
from .direct import direct_effects as direct_effects
from .part import InspectionError as InspectionError
from .tokens import top_tokens as top_tokens
