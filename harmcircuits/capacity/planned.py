"""`plan`: what commands would cost on a model and a device, from the model's configuration alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from .. import store
from .._version import __version__
from ..claims.paper.sizes import quick_settings
from ..experiments.settings import Settings
from ..models.aliases import DEFAULT
from ..models.shape import Shape, model_shape
from ..notebook import clipped, notebook_html
from ..prompts.promptset import PromptSet
from ..prompts.readers import load_prompts
from .commands import COMMANDS, MAIN, work_of
from .memory import Peak
from .needed import Needed, peaks_of
from .rates import Device, RateError, device_named
from .steps import Steps
from .texts import Texts
from .work import Work


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Plan:
    """What is expected; docs/capacity.md says how well it is met.

    Attributes:
        commands: the work of each, step by step.
        peaks: of memory, the steps that have one.
        crossed: whether `dissociate` is planned with aims and contexts crossed.
        folds: in how many folds; 0: on one split.
        command: that planned it; "" where it was none.
    """

    model: str
    dtype: str
    shape: Shape
    device: Device
    settings: Settings
    commands: Mapping[str, Steps]
    peaks: Sequence[Peak]
    crossed: bool = False
    folds: int = 0
    command: str = ""

    def seconds(self, work: Work) -> float:
        """Of `work` on the device."""
        return seconds(work, self.device)

    def total(self, command: str) -> float:
        """Seconds of a command; intervals, selecting and files come on top."""
        return sum(map(self.seconds, self.commands[command].values()))

    @property
    def needed(self) -> Needed:
        """Peak memory beside what the device has."""
        return Needed(self.peaks, self.device.memory, self.device.gpu)

    @property
    def fits(self) -> bool | None:
        """Whether every step's peak is within `limit.HEADROOM` of the device's memory; None where that is not known."""
        return self.needed.fits

    def table(self) -> pd.DataFrame:
        """One row a command."""
        rows = [{"command": name, **self._row(sum(steps.values(), Work()))} for name, steps in self.commands.items()]
        return pd.DataFrame(rows)

    def steps(self, command: str) -> pd.DataFrame:
        """One row a step of a command."""
        return pd.DataFrame([{"step": name, **self._row(work)} for name, work in self.commands[command].items()])

    def memory(self) -> pd.DataFrame:
        """One row a step with a peak, in GB (10⁹ bytes), what the process itself takes on a CPU among them."""
        return self.needed.table()

    def __repr__(self) -> str:
        fits = {True: "it fits", False: "it does not fit", None: "its memory is not known"}[self.fits]
        return f"Plan({clipped(self.model, 40)!r} on {self.device.name}, {len(self.commands)} commands: {fits})"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), self.table(), remarks=str(self).split("\n"))

    def __str__(self) -> str:
        """In a few lines: the model, the device, whether it fits, and the cure where it does not."""
        shape, device = self.shape, self.device
        lines = [
            f"{self.model}: {shape.parameters / 1e6:,.0f} million parameters, of which {shape.matrices / 1e6:,.0f} are scored; "
            f"{shape.n_layers} layers of {shape.n_heads} heads and {shape.d_mlp:,} neurons; {self.dtype}",
            f"{device.name}: {device.flops / 1e9:,.0f} GFLOP/s, {device.bandwidth / 1e9:,.0f} GB/s ({device.source})",
        ]
        if device.memory is None:
            return "\n".join([*lines, "whether it fits is not known: give the device's memory"])
        return "\n".join([*lines, *(self.needed.short() or [f"it fits into {device.memory / 1e9:,.0f} GB"])])

    def save(self, path: str | Path) -> Path:
        """All of it as JSON."""
        about = {"model": self.model, "dtype": self.dtype, "shape": asdict(self.shape), "device": asdict(self.device)}
        commands = {
            name: {"seconds": self.total(name), "steps": {step: self._row(work) for step, work in steps.items()}}
            for name, steps in self.commands.items()
        }
        peaks = {
            peak.step: {"bytes": self.needed.of(peak), "passes": peak.passes_over_data, "host": peak.host}
            for peak in self.peaks
        }
        how = {"crossed": self.crossed, "folds": self.folds, "settings": self.settings.as_dict()}
        rest = {"commands": commands, "peaks": peaks, "fits": self.fits, **how}
        store.write_json(Path(path), {"command": self.command, "harmcircuits_version": __version__, **about, **rest})
        return Path(path)

    def _row(self, work: Work) -> dict[str, Any]:
        return {**vars(work), "seconds": self.seconds(work)}


def plan(
    name: str | PathLike[str] = DEFAULT,
    *,
    commands: Sequence[str] = COMMANDS,
    device: str | None = None,
    dtype: torch.dtype = torch.float32,
    prompts: PromptSet | None = None,
    settings: Settings | None = None,
    quick: bool = False,
    crossed: bool = False,
    folds: int = 0,
    texts: Texts | None = None,
    flops: float | None = None,
    bandwidth: float | None = None,
    memory: float | None = None,
    flops_float32: float | None = None,
    revision: str | None = None,
    reproduce: str = "",
) -> Plan:
    """What commands would cost: passes, tokens, FLOPs, bytes, seconds, and peak memory. No weight of the model is read.

        found = plan("HuggingFaceTB/SmolLM2-135M-Instruct", device="h100", dtype=torch.bfloat16)
        print(found), found.table(), found.memory()

    Args:
        name: as of `load_model`: an alias, a folder, a GGUF file or a hub id, of which the configuration alone is fetched.
        commands: of `COMMANDS`.
        device: one of this machine (measured in a few seconds), or a card of the table (`rates.CARDS`); None: as `load_model`.
        dtype: of the weights.
        prompts: triples; None: the built-in ones.
        settings: sizes; None: those of a full run, or with `quick` of a quick one. `recognition` has its own.
        crossed: as of `dissociate`, which alone has it.
        folds: likewise.
        texts: lengths in tokens.
        flops: FLOPs a second in `dtype`, where the device is neither here nor in the table; with `bandwidth` nothing is
            measured, and a GPU is planned unless `device` is "cpu".
        bandwidth: bytes a second.
        memory: bytes of the device; None: what it has or is stated to have.
        flops_float32: FLOPs a second in float32, in which weights' scores are computed; None: those of the card, or a
            sixteenth of `flops` where these are a GPU's in half precision.
        revision: of a hub id.
        reproduce: the command that plans this again, for the file.

    Raises:
        LoadError: the model cannot be found, or is of a kind that cannot be studied.
        RateError: an unknown command or device, `crossed` or `folds` without `dissociate`, or a rate that is not positive.
        ExperimentError, PromptError, ReadingsError, ClaimError: prompts on which nothing could be measured.
    """
    if unknown := [command for command in commands if command not in COMMANDS]:
        raise RateError(f"there is no plan for {unknown[0]!r}: choose of {', '.join(COMMANDS)}")
    if (crossed or folds) and MAIN not in commands:
        raise RateError(f"{'crossed' if crossed else 'folds'} is of {MAIN}, and {', '.join(commands)} was to be planned")
    shape = model_shape(name, revision=revision)
    found = device_named(device, dtype=dtype, flops=flops, bandwidth=bandwidth, memory=memory, full=flops_float32)
    asked, lengths, element = prompts if prompts is not None else load_prompts(), texts or Texts(), dtype.itemsize
    made: dict[str, Steps] = {}
    how: dict[str, Any] = {"element": element, "gpu": found.gpu, "quick": quick, "crossed": crossed, "folds": folds}
    for command in commands:
        made[command] = work_of(command, shape, asked, settings or _sizes(command, quick=quick), lengths, **how)
    sizes = settings or _sizes(MAIN, quick=quick)
    return Plan(
        model=fspath(name),
        dtype=str(dtype).removeprefix("torch."),
        shape=shape,
        device=found,
        settings=sizes,
        commands=made,
        peaks=peaks_of(shape, lengths, sizes.max_new_tokens, element=element, gpu=found.gpu, memory=found.memory),
        crossed=crossed,
        folds=folds,
        command=reproduce,
    )


def seconds(work: Work, device: Device) -> float:
    """FLOPs ÷ rate + bytes ÷ bandwidth + bytes to the host ÷ link + calls · seconds of one: one after the other, as eager
    layers do them."""
    products = (work.flops - work.full) / device.flops + work.full / (device.full or device.flops)
    return products + work.bytes / device.bandwidth + work.host / device.link + work.calls * device.call


def _sizes(command: str, *, quick: bool) -> Settings:
    if not quick:
        return Settings()
    return Settings.quick() if command == MAIN else quick_settings()
