"""What a plan says of rates of a device that is not here, and what to do where a step does not fit."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from shell import call
from test_capacity_several import of_llama
from tiny import tiny_model

import harmcircuits as hc
from harmcircuits.capacity import memory, rates
from harmcircuits.capacity.limit import HEADROOM
from harmcircuits.capacity.needed import Needed, peaks_of
from harmcircuits.capacity.steps import ATTRIBUTING
from harmcircuits.capacity.texts import Texts
from harmcircuits.capacity.work import Rows
from harmcircuits.models.shape import Shape

EIGHT, SEVENTY = of_llama(32, 4096, 14_336, 32), of_llama(80, 8192, 28_672, 64)
NEW = 48
ROWS = Rows(n=ATTRIBUTING, length=Texts().prompt + NEW, asked=NEW, batch=ATTRIBUTING)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    tiny_model().config.save_pretrained(folder)
    return folder


def needed(shape: Shape, memory: float, *, element: int = 2, gpu: bool = True) -> Needed:
    return Needed(peaks_of(shape, Texts(), NEW, element=element, gpu=gpu, memory=memory), memory, gpu)


# rates that are given


def test_given_rates_are_those_of_a_gpu_unless_the_device_is_a_cpu() -> None:
    how = {"flops": 4e14, "bandwidth": 2e12}
    half, full = (rates.device_named(None, dtype=dtype, **how) for dtype in (torch.bfloat16, torch.float32))
    assert half.gpu and half.full == 4e14 / 16 and full.gpu and full.full == 4e14
    assert rates.device_named(None, dtype=torch.bfloat16, full=3e13, **how).full == 3e13
    cpu = rates.device_named("cpu", dtype=torch.bfloat16, **how)
    assert not cpu.gpu and cpu.full is None
    assert rates.device_named("h100", dtype=torch.float32, flops=1e12).full == 1e12, "what is given is float32 itself"


def test_the_command_says_what_given_rates_are_taken_for(small: Path) -> None:
    options = ("dissociate", "--model", small, "--quick", "--flops", 4e14, "--bandwidth", 2e12, "--memory", 48)
    shown = " ".join(call("plan", *options, "--dtype", "bfloat16").output.split())
    assert (
        "as given: 400,000 GFLOP/s, 2,000 GB/s (given, a GPU's; 25,000 GFLOP/s in float32, a sixteenth, as none was given)"
        in shown
    )
    given = call("plan", *options, "--dtype", "bfloat16", "--flops-float32", 6e13).output
    assert "(given, a GPU's; 60,000 GFLOP/s in float32)" in " ".join(given.split())
    assert "cpu: 400,000 GFLOP/s, 2,000 GB/s (given, a CPU's)" in call("plan", *options, "--device", "cpu").output


# cures


def test_a_model_that_does_not_fit_itself_takes_several_cards_and_each_step_so_many() -> None:
    found = needed(SEVENTY, 80e9)
    line, *steps = found.short()
    assert (
        line.startswith("does not fit: loading needs 141.1 GB")
        and "Cure: 2 or more such GPUs (transformers' device_map" in line
    )
    assert [int(step.rpartition(" Cure: ")[2].removesuffix(" or more such GPUs.")) for step in steps] == [3, 7, 2]
    halved, *steps = needed(EIGHT, 24e9, element=4).short()
    assert halved.endswith("Cure: dtype bfloat16 (--dtype bfloat16): 16.1 GB.")
    assert len(steps) == 3 and all("dtype bfloat16 (--dtype bfloat16)" in step for step in steps)
    both, *steps = needed(SEVENTY, 80e9, element=4).short()
    assert "Cure: 2 or more such GPUs, in bfloat16" in both
    assert steps[1].endswith("Cure: 7 or more such GPUs, in bfloat16.")
    (cpu,) = needed(SEVENTY, 64e9, gpu=False).short()
    assert "a machine with more memory, or GPUs" in cpu


@pytest.mark.parametrize("gigabytes", [20, 22, 24, 26, 28, 32, 40])
def test_what_a_cure_of_weight_scores_names_fits(gigabytes: int) -> None:
    found = needed(EIGHT, gigabytes * 1e9)
    peak, limit = found.peaks[2], HEADROOM * gigabytes * 1e9
    if found.holds(peak):
        assert peak.cure == ""
        return

    def passes(batch: int, checkpoint: bool) -> int | None:
        """The fewest that fit, by the formula alone."""
        own = {"element": 2, "gpu": True, "memory": found.memory, "checkpoint": checkpoint}
        peaks = [memory.weights(EIGHT, replace(ROWS, batch=batch), at_once=layers, **own) for layers in (None, *range(1, 33))]
        return min((one.passes_over_data for one in peaks if one.bytes <= limit), default=None)

    counts = [passes(batch, on) for batch, on in ((8, False), (4, False), (2, False), (1, False), (1, True))]
    if not any(counts):
        assert peak.cure.startswith("leave weights out")
        return
    batch, room, told = (re.search(rule, peak.cure) for rule in (r"batch_size=(\d+)", r"max_memory=(\d+)", r"\((\d+) passes"))
    checkpoint, rows = "checkpoint=True" in peak.cure, replace(ROWS, batch=int(batch[1]) if batch else ROWS.batch)
    layers = int(int(room[1]) // (4 * EIGHT.matrices / 32)) if room else None
    how = {"element": 2, "gpu": True, "memory": found.memory, "checkpoint": checkpoint}
    assert memory.weights(EIGHT, rows, at_once=layers, **how).bytes <= limit
    assert (int(told[1]) if told else 1) == min(filter(None, counts)), "each pass is over all data"


@pytest.mark.parametrize("gigabytes", [20, 24, 32, 40, 48, 64])
@pytest.mark.parametrize("element", [2, 4])
@pytest.mark.parametrize("tokens", [60, 2000, 6000])
def test_only_where_nothing_fits_is_nothing_named(tokens: int, element: int, gigabytes: int) -> None:
    limit = HEADROOM * gigabytes * 1e9
    peaks = peaks_of(EIGHT, Texts(prompt=tokens), NEW, element=element, gpu=True, memory=gigabytes * 1e9)
    if peaks[0].cure:
        return
    one, written = (Rows(n=1, length=tokens + more, asked=NEW, batch=1) for more in (NEW, 0))
    least = (
        memory.activations(EIGHT, one, element=2, checkpoint=True),
        memory.weights(EIGHT, one, element=2, gpu=True, at_once=1, checkpoint=True),
        memory.writing(EIGHT, written, NEW, element=2),
    )
    for peak, small, nothing in zip(peaks[1:], least, ("shorter texts", "leave weights out", "shorter texts"), strict=True):
        assert peak.cure.startswith(nothing) == (small.bytes > limit), peak


def test_smaller_batches_are_named_that_fit() -> None:
    parameters = 2 * EIGHT.parameters
    of = lambda batch: memory.activations(EIGHT, replace(ROWS, batch=batch), element=2).bytes
    found = needed(EIGHT, (parameters + (of(8) - parameters) / 3) / HEADROOM)
    assert found.peaks[1].cure == "batch_size=2 in hc.attribute"
    assert of(2) <= HEADROOM * found.memory < of(4)


def test_a_row_too_long_by_itself_is_checkpointed() -> None:
    long, gigabytes = Texts(prompt=2000), 32e9
    found = Needed(peaks_of(EIGHT, long, NEW, element=2, gpu=True, memory=gigabytes), gigabytes, gpu=True)
    row = Rows(n=1, length=2000 + NEW, asked=NEW, batch=1)
    whole, less = (memory.activations(EIGHT, row, element=2, checkpoint=on).bytes for on in (False, True))
    assert found.peaks[1].cure == "batch_size=1 and checkpoint=True in hc.attribute" and less <= HEADROOM * gigabytes < whole
    assert found.peaks[2].cure.startswith("batch_size=1 and checkpoint=True and max_memory=")
    longer = peaks_of(EIGHT, Texts(prompt=8000), NEW, element=2, gpu=True, memory=gigabytes)
    assert [peak.cure.partition(" (")[0] for peak in longer[1:3]] == ["shorter texts", "leave weights out"]


def test_on_a_cpu_blocks_save_nothing_and_are_not_named() -> None:
    found = needed(EIGHT, 64e9, gpu=False)
    assert not found.holds(found.peaks[2]) and "max_memory" not in found.peaks[2].cure
    assert needed(EIGHT, 64e9, gpu=False).peaks[2].cure.startswith("leave weights out")


def test_half_precision_is_a_cure_where_it_is_enough(small: Path) -> None:
    found = hc.plan(small, commands=["distinct"], device="cpu", flops=1e11, bandwidth=1e10, memory=0.1e9)
    assert found.fits is False and not found.memory()["fits"].any()
    (line,) = found.needed.short()
    assert line.startswith("does not fit: loading needs 0.6 GB, and 90% of 0.1 GB") and line in str(found)
    shape, held = EIGHT, memory.weights(EIGHT, ROWS, element=2, gpu=False).bytes
    assert "--dtype bfloat16" in needed(shape, (held + 2e9) / HEADROOM, element=4, gpu=False).peaks[2].cure
