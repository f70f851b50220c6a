"""`memory_needed`: the peak memory of each kind of step beside what a device has, before a model is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike

import pandas as pd
import torch

from ..models.shape import Shape, model_shape
from .cures import HALF, SEE_LOADING, activations_cure, loading_cure, several_cure, weights_cure, writing_cure
from .limit import HEADROOM, Limit, beside
from .memory import Peak, activations, loading, weights, writing
from .rates import memory_named
from .steps import ATTRIBUTING, WRITING
from .texts import Texts
from .work import Rows


@dataclass(frozen=True)
class Needed:
    """Bytes.

    Attributes:
        peaks: of the steps that have one.
        memory: that the device has; None: not known.
        gpu: whether the process itself takes other memory than the model.
    """

    peaks: Sequence[Peak]
    memory: float | None
    gpu: bool

    def of(self, peak: Peak) -> float:
        """A step's peak, with what the process itself takes on a CPU."""
        return peak.bytes + beside(gpu=self.gpu)

    def holds(self, peak: Peak) -> bool:
        """Whether it is within `HEADROOM` of the device's memory, or nobody knows."""
        return self.memory is None or Limit(memory=self.memory, gpu=self.gpu).holds(peak)

    @property
    def fits(self) -> bool | None:
        """Whether every step does; None where the device's memory is not known."""
        return None if self.memory is None else all(map(self.holds, self.peaks))

    def table(self) -> pd.DataFrame:
        """One row a step, in GB (10⁹ bytes)."""
        return pd.DataFrame(
            [
                {
                    "step": peak.step,
                    "peak GB": self.of(peak) / 1e9,
                    "host GB": peak.host / 1e9,
                    "fits": None if self.memory is None else self.holds(peak),
                    "passes": peak.passes_over_data,
                    "otherwise": "" if self.holds(peak) else peak.cure,
                }
                for peak in self.peaks
            ]
        )

    def short(self) -> list[str]:
        """A line for each step that does not fit, with its cure, where it has one of its own."""
        there = "" if self.memory is None else f"{HEADROOM:.0%} of {self.memory / 1e9:,.1f} GB"
        return [
            f"does not fit: {peak.step} needs {self.of(peak) / 1e9:,.1f} GB, and {there} are planned with. Cure: {peak.cure}."
            for peak in self.peaks
            if not self.holds(peak) and peak.cure != SEE_LOADING
        ]

    def __str__(self) -> str:
        """In a line; a line more for each step that does not fit."""
        steps = ", ".join(f"{peak.step} {self.of(peak) / 1e9:,.1f} GB{_told(peak)}" for peak in self.peaks)
        there = "" if self.memory is None else f"; the device has {self.memory / 1e9:,.1f} GB"
        return "\n".join([f"expected peak memory: {steps}{there}", *self.short()])


def memory_needed(
    name: str | PathLike[str],
    *,
    device: str | None = None,
    dtype: torch.dtype = torch.float32,
    new: int = 48,
    texts: Texts | None = None,
    revision: str | None = None,
) -> Needed:
    """Of what `load_model(name)` would load, from its configuration alone.

    Args:
        device: one of this machine, or a card of `rates.CARDS`; None: as `load_model`.
        new: tokens of a response.
        texts: other lengths.

    Raises:
        LoadError: the model cannot be found, or is of a kind that cannot be studied.
        RateError: an unknown device.
    """
    shape, (memory, gpu) = model_shape(name, revision=revision), memory_named(device)
    return Needed(peaks_of(shape, texts or Texts(), new, element=dtype.itemsize, gpu=gpu, memory=memory), memory, gpu)


def peaks_of(shape: Shape, texts: Texts, new: int, *, element: int, gpu: bool, memory: float | None) -> list[Peak]:
    """Of the steps of every command, at the batch sizes that they take by themselves, with cures where they do not fit."""
    attributed = Rows(n=ATTRIBUTING, length=texts.prompt + new, asked=new, batch=ATTRIBUTING)
    written = Rows(n=WRITING, length=texts.prompt, batch=WRITING)

    def peaks(element: int, memory: float | None) -> list[Peak]:
        return [
            loading(shape, element=element),
            activations(shape, attributed, element=element),
            weights(shape, attributed, element=element, gpu=gpu, memory=memory),
            writing(shape, written, new, element=element),
        ]

    model, *steps = peaks(element, memory)
    if memory is None:
        return [model, *steps]
    limit = Limit(memory=memory, gpu=gpu)
    if not limit.holds(model):
        model = replace(model, cure=loading_cure(shape, limit, element=element))
    if not limit.holds(loading(shape, element=min(element, HALF))):  # on several devices all layers are scored in one pass
        least = peaks(min(element, HALF), None)[1:]
        told = (several_cure(peak, limit, element=element) for peak in least)
        return [model, *(replace(peak, cure=cure) for peak, cure in zip(steps, told, strict=True))]
    cures = (
        lambda: activations_cure(shape, attributed, limit, element=element),
        lambda: weights_cure(shape, attributed, limit, element=element),
        lambda: writing_cure(shape, written, new, limit, element=element),
    )
    return [
        model,
        *(peak if limit.holds(peak) else replace(peak, cure=cure()) for peak, cure in zip(steps, cures, strict=True)),
    ]


def _told(peak: Peak) -> str:
    passes = f" in {peak.passes_over_data} passes over the data" if peak.passes_over_data > 1 else ""
    return passes + (f" (and {peak.host / 1e9:,.1f} GB on the host)" if peak.host else "")
