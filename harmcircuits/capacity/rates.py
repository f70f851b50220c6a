"""How fast a device computes and moves bytes: measured here in a few seconds, given, or from a table of stated peaks."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from types import MappingProxyType
from typing import Any

import torch

from ..models.devices import default_device, usable
from ..models.fetch import LoadError

SIDE = 1024
"""Of the square matrices that are multiplied: 2 · 1024³ FLOPs."""
COPIED = 2**26
"""Bytes that are copied, each read and written: more than caches hold."""
REPEATS = 5
FRACTION = 0.4
"""Of a stated peak, that a run is taken to reach: layers of usual sizes in eager mode, whose small steps no peak counts."""

FULL_SHARE = 1 / 16
"""Of a GPU's given rate in half precision, that its float32 is taken to reach where nobody says: as stated of an A100 (of an
H100 a fifteenth, of an RTX 4090 a half)."""

LINK = 8e9
"""Bytes a second from a GPU into the host's memory, which is not page-locked: a guess, and no measurement."""

CALL = 2.4e-3
"""Seconds that a bridge's Python takes for a layer, whatever its size: measured on one core with a model of nearly no weights
(benchmarks/capacity.py). Small models, and writing token by token, are made of it, on a GPU too."""


@dataclass(frozen=True)
class Device:
    """A device and its rates.

    Attributes:
        flops: FLOPs a second, with weights in the type asked for.
        bandwidth: bytes a second, reading and writing counted both.
        memory: bytes; None: not known.
        gpu: whether scores lie elsewhere than the model.
        source: where the rates are from.
        call: seconds that Python takes for a layer in a forward pass.
        full: FLOPs a second in float32, where weights are in half precision; None: as `flops`.
        link: bytes a second from a GPU to the host.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float | None
    gpu: bool
    source: str
    call: float = CALL
    full: float | None = None
    link: float = LINK


@dataclass(frozen=True)
class Card:
    """Stated peaks of a GPU: dense, without sparsity."""

    half: float
    full: float
    bandwidth: float
    memory: float
    source: str


CARDS: Mapping[str, Card] = MappingProxyType(
    {
        "h100": Card(989e12, 67e12, 3.35e12, 80e9, "NVIDIA, H100 data sheet, SXM"),
        "h200": Card(989e12, 67e12, 4.8e12, 141e9, "NVIDIA, H200 data sheet, SXM"),
        "a100": Card(312e12, 19.5e12, 2.039e12, 80e9, "NVIDIA, A100 data sheet, 80 GB SXM"),
        "rtx4090": Card(165e12, 82.6e12, 1.008e12, 24e9, "NVIDIA, Ada architecture white paper"),
    }
)
"""FLOPs a second in bfloat16 or float16 (tensor cores, float32 sums) and in float32, bytes a second, bytes."""


class RateError(ValueError):
    """A device that is not known, or a rate that is none; the message says which there are."""


def device_named(
    name: str | None,
    *,
    dtype: torch.dtype,
    flops: float | None = None,
    bandwidth: float | None = None,
    memory: float | None = None,
    full: float | None = None,
) -> Device:
    """A card of the table by its name, at `FRACTION` of its peaks; else a device of this machine, measured. What is given
    holds instead; `flops` and `bandwidth` alone are those of a GPU that is not here, unless `name` is that of a CPU.

    Raises:
        RateError: a device that neither this machine nor the table has, or a rate or memory that is not positive.
    """
    if full is None and flops and dtype.itemsize > 2:
        full = flops
    given = {"flops": flops, "bandwidth": bandwidth, "memory": memory, "full": full}
    own: dict[str, Any] = {what: value for what, value in given.items() if value is not None}
    for what, value in own.items():
        if not 0 < value < math.inf:
            raise RateError(f"{what} must be a positive number, not {value!r}")
    card = CARDS.get((name or "").lower())
    if card is not None:
        peak = card.full if dtype.itemsize > 2 else card.half
        source = f"{FRACTION:.0%} of stated peaks ({card.source})"
        rates = {"flops": FRACTION * peak, "bandwidth": FRACTION * card.bandwidth, "full": FRACTION * card.full}
        found = Device(name=str(name).lower(), memory=card.memory, gpu=True, source=source, **rates)
    elif flops and bandwidth:
        found = _given(name, flops, bandwidth, full)
    else:
        found = measured(_here(name) if name else default_device(), dtype)
    return replace(found, **own)


def _given(name: str | None, flops: float, bandwidth: float, full: float | None) -> Device:
    """Of rates alone: a GPU, but where `name` says that it is a CPU, whose half precision is not faster."""
    if name is not None and name.startswith("cpu"):
        return Device(name, flops, bandwidth, None, False, "given, a CPU's")
    exact = full or FULL_SHARE * flops
    source = f"given, a GPU's; {exact / 1e9:,.0f} GFLOP/s in float32{'' if full else ', a sixteenth, as none was given'}"
    return Device(name or "as given", flops, bandwidth, None, True, source, full=exact)


def memory_named(name: str | None) -> tuple[float | None, bool]:
    """Bytes of a card of the table or of a device of this machine (None: not known), and whether it is a GPU.

    Raises:
        RateError: a device that neither this machine nor the table has.
    """
    card = CARDS.get((name or "").lower())
    if card is not None:
        return card.memory, True
    device = _here(name) if name else default_device()
    return _memory(device), device.type != "cpu"


def _here(name: str) -> torch.device:
    try:
        return usable(name)
    except LoadError as error:
        elsewhere = f"one that is not here may be {', '.join(CARDS)}, or any with its flops and bandwidth given"
        raise RateError(f"{str(error).rstrip('.')}; {elsewhere}.") from error


def measured(device: torch.device, dtype: torch.dtype, *, clock: Callable[[], float] = time.perf_counter) -> Device:
    """Medians of a few products of matrices and copies, on one device of this machine; a few seconds.

    `clock`: of the process alone (`time.process_time`) on a busy machine.
    """
    full = torch.randn(SIDE, SIDE, device=device)
    half = full.to(dtype)
    numbers = torch.zeros(COPIED // 4, device=device)
    into = torch.empty_like(numbers)
    steps = (lambda: half @ half, lambda: full @ full, lambda: into.copy_(numbers))
    product, exact, copy = (_seconds(step, device, clock) for step in steps)
    source = f"measured: products of {SIDE} × {SIDE} matrices, copies of {COPIED >> 20} MiB, medians of {REPEATS}"
    rates = {"flops": 2 * SIDE**3 / product, "bandwidth": 2 * COPIED / copy, "full": 2 * SIDE**3 / exact}
    return Device(name=str(device), memory=_memory(device), gpu=device.type != "cpu", source=source, **rates)


def _seconds(step: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    taken = []
    for _ in range(REPEATS + 1):  # the first warms up
        start = clock()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
        taken.append(clock() - start)
    return median(taken[1:])


def _memory(device: torch.device) -> float | None:
    """Bytes that are free on a GPU, or that the machine has."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type == "cpu" and hasattr(os, "sysconf"):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return None
