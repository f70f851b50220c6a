"""Dissociated: does the model still recognise the very text that it can no longer write?"""

from .aims import GRAINS, cost
from .claim import Dissociated
from .rule import Evidence, decide
from .run import dissociated
from .tokens import SameTokens, same_tokens

__all__ = ["GRAINS", "Dissociated", "Evidence", "SameTokens", "cost", "decide", "dissociated", "same_tokens"]
