"""What a command costs on a model and a device, before anything is loaded: passes, tokens, FLOPs, bytes, peak memory, time."""

from .needed import Needed, memory_needed
from .planned import Plan, plan

__all__ = ["Needed", "Plan", "memory_needed", "plan"]
