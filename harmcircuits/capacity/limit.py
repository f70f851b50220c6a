"""What a run may take of a device's memory."""

from dataclasses import dataclass

from .memory import Peak

BESIDE = 0.6e9
"""Bytes of a process that has imported PyTorch, transformers and TransformerLens, on the CPU beside the model."""
HEADROOM = 0.9
"""Of a device's memory, that a run may plan with: the rest is fragments, and what nobody counted."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Of one device.

    Attributes:
        memory: bytes that it has.
        gpu: whether the process itself takes other memory than the model.
    """

    memory: float
    gpu: bool

    @property
    def usable(self) -> float:
        """Bytes that a step may take, the model's weights among them."""
        return HEADROOM * self.memory - beside(gpu=self.gpu)

    def holds(self, peak: Peak) -> bool:
        return peak.bytes <= self.usable


def beside(*, gpu: bool) -> float:
    """Bytes that the process itself takes of the same memory."""
    return 0 if gpu else BESIDE
