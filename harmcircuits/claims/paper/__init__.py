"""All of the paper's claims on one model: each with its evidence, in one folder, with one page."""

from .registry import CLAIMS, Entry
from .result import Paper
from .run import paper

__all__ = ["CLAIMS", "Entry", "Paper", "paper"]
