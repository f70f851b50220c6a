"""Batches that a device has no memory for: read in halves, with the same numbers; what says so is PyTorch's own error."""

import io
import logging
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_bridge
from written import written

import harmcircuits as hc
from harmcircuits.examples import Example, loss
from harmcircuits.halves import BatchError, Full, attempt, each_batch
from harmcircuits.processes import each

WORDS = "CUDA out of memory. Tried to allocate 20.00 GiB.\nSee the documentation."


def full() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError(WORDS)


class Device:
    """Holds so many rows at once."""

    def __init__(self, room: int) -> None:
        self.room, self.asked = room, list[int]()

    def read(self, indices: list[int]) -> list[int]:
        self.asked.append(len(indices))
        if len(indices) > self.room:
            raise full()
        return [10 * index for index in indices]


# the loop


@given(st.lists(st.integers(1, 9), max_size=6), st.integers(1, 9))
def test_every_row_is_read_once_in_order_and_no_more_at_once_than_there_is_room_for(sizes: list[int], room: int) -> None:
    rows = iter(range(sum(sizes)))
    batches = [[next(rows) for _ in range(size)] for size in sizes]
    device = Device(room)
    found = list(each_batch(batches, device.read))
    assert [index for indices, _ in found for index in indices] == list(range(sum(sizes)))
    assert all(made == [10 * index for index in indices] and len(indices) <= room for indices, made in found)
    if all(size <= room for size in sizes):
        assert found == list(each(batches, device.read))


def test_what_did_not_fit_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    device = Device(2)
    with caplog.at_level(logging.WARNING):
        list(each_batch([list(range(8)), list(range(8)), [0]], device.read))
    assert device.asked == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1]
    said = [record.message for record in caplog.records]
    assert said == [f"no memory for a batch of {of} on this device: {at} at once from here on" for of, at in ((8, 4), (4, 2))]


def test_a_row_that_does_not_fit_is_read_in_less_memory_or_named() -> None:
    device = Device(0)
    assert list(each_batch([[3, 4]], device.read, alone=lambda indices: [-1])) == [([3], [-1]), ([4], [-1])]
    cause = r"row 3 alone does not fit into this device's memory \(CUDA out of memory. Tried to allocate 20.00 GiB.\)"
    with pytest.raises(BatchError, match=rf"{cause}. Load the model in half precision"):
        list(each_batch([[3, 4]], device.read))
    with pytest.raises(BatchError, match="row 3 alone"):
        list(each_batch([[3, 4]], device.read, alone=device.read))


def test_other_errors_are_those_that_they_are() -> None:
    def broken(indices: list[int]) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(each_batch([[0, 1]], broken))
    assert isinstance(attempt(lambda: (_ for _ in ()).throw(full())), Full)


# the package's own loops


@contextmanager
def room_for(model: Any, rows: int) -> Iterator[list[int]]:
    """The model's first block has no memory for more rows than these; the batches that it met."""
    met: list[int] = []

    def block(residual: torch.Tensor, hook: Any) -> None:
        met.append(len(residual))
        if len(residual) > rows:
            raise full()

    with model.hooks(fwd_hooks=[("blocks.0.hook_resid_pre", block)]):
        yield met


pytestmark = pytest.mark.model


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_scores_and_losses_are_those_of_whole_batches(tiny: Any, examples: list[Example], rows: int) -> None:
    whole, losses = hc.attribute(tiny, examples), loss(tiny, examples)
    with room_for(tiny, rows) as met:
        scores = hc.attribute(tiny, examples)
        close(loss(tiny, examples), losses)
    close(scores.per_example_heads, whole.per_example_heads)
    close(scores.per_example_neurons, whole.per_example_neurons)
    assert max(met) == len(examples) and min(met) <= rows


def test_a_row_too_long_by_itself_is_checkpointed(tiny: Any, examples: list[Example]) -> None:
    """A device that is full as soon as a graph of the last block is there, unless blocks are computed twice."""
    whole = hc.attribute(tiny, examples)
    first = {"again": 0}

    def graph(residual: torch.Tensor, hook: Any) -> None:
        if "forward" not in vars(tiny.blocks[1]):
            raise full()
        first["again"] += 1

    with tiny.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", graph)]):
        scores = hc.attribute(tiny, examples)
    assert torch.equal(scores.per_example_heads, hc.attribute(tiny, examples, batch_size=1).per_example_heads)
    close(scores.per_example_neurons, whole.per_example_neurons)
    assert first["again"] == 2 * len(examples)


@pytest.mark.parametrize("rows", [1, 3])
def test_scores_of_weights_begin_anew_in_smaller_batches(
    tiny: Any, examples: list[Example], rows: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole = hc.attribute_weights(tiny, examples, benign=examples[:2])
    with room_for(tiny, rows), caplog.at_level(logging.WARNING):
        scores = hc.attribute_weights(tiny, examples, benign=examples[:2])
    for name, signed in whole.signed.items():
        close(scores.signed[name], signed)
        close(scores.absolute[name], whole.absolute[name])
    assert f"in batches of {2 if rows == 3 else 1}" in caplog.text
    with room_for(tiny, 0), pytest.raises(BatchError, match="not on one row"):
        hc.attribute_weights(tiny, examples)


def test_what_is_written_is_the_same(tiny: Any) -> None:
    prompts = [hc.Prompt(request=text, group=text) for text in ("How do I bake bread?", "Say hello.", "Write a story.")]
    how: dict[str, Any] = {"max_new_tokens": 6, "seed": 3, "cache": False}
    with room_for(tiny, 9):  # hooks: the model itself writes, and not the transformers model inside
        whole = hc.elicit(tiny, prompts, **how)
    with room_for(tiny, 1) as met:
        alone = hc.elicit(tiny, prompts, **how)
    assert [one.response_ids for one in alone] == [one.response_ids for one in whole]
    assert met[:2] == [3, 2]


@pytest.mark.skipif(not hasattr(os, "fork") or not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_a_process_whose_memory_is_limited_goes_on(tmp_path: Path) -> None:
    """By the system itself: PyTorch cannot have the pages."""
    model = tiny_bridge(tmp_path, n_layers=4, d_model=64, n_heads=4, d_mlp=256)
    examples = written(model.tokenizer)[1:2] * 128
    whole = hc.attribute(model, examples[:1]).per_example_neurons
    limited = multiprocessing.get_context("fork").Process(target=under_limit, args=(model, examples, tmp_path / "scores"))
    limited.start()
    limited.join(300)
    assert limited.exitcode == 0
    found, least, log = torch.load(tmp_path / "scores")
    close(found, whole.expand_as(found))
    assert least < 128 and "no memory for a batch of 128 on this device" in log


def under_limit(model: Any, examples: list[Example], place: Path) -> None:
    """Scores of all examples in a batch at first, with 64 MB more than this process has now."""
    import resource  # not on Windows

    torch.set_num_threads(1)
    log = io.StringIO()
    logging.getLogger("harmcircuits").addHandler(logging.StreamHandler(log))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 64 * 2**20, resource.RLIM_INFINITY))
    with room_for(model, 10**6) as met:
        found = hc.attribute(model, examples, batch_size=128).per_example_neurons
    torch.save((found, min(met), log.getvalue()), place)
