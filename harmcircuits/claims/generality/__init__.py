"""Is it one mechanism for all harm? Circuits selected on one kind of harm, tested on the others."""

from .claim import Generality
from .run import generality

__all__ = ["Generality", "generality"]
