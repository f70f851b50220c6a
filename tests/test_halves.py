"""Batches that a device has no memory for: read in halves, with the same numbers; what says so is PyTorch's own error."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from triples import OWN, make_triples

import harmcircuits as hc
from harmcircuits.ablation.ablate import Condition
from harmcircuits.data import Example, map_batches
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.readings.capabilities import Capabilities
from harmcircuits.readings.many_shot import make_shots, many_shot
from harmcircuits.readings.probe import request_residuals
from harmcircuits.readings.recognition import YES_NO, log_odds, question_tokens

PROMPTS = make_triples(4).prompts
SIZE = 5
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


# what says that there was none


@pytest.mark.parametrize(
    "error",
    [
        full(),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to allocate"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_every_allocator_is_understood(error: Exception) -> None:
    def refuse(rows: list[int]) -> None:
        raise error

    with pytest.raises(HarmcircuitsError, match=r"not even one text fits into this device's memory, beside the model \("):
        list(map_batches([[1, 2]], refuse))


def test_a_loop_in_a_loop_asks_once() -> None:
    """The inner one has already tried single rows: its error is no reason for the outer one to halve again."""
    inner = Device(0)
    outer = list[int]()

    def read(rows: list[int]) -> list[int]:
        outer.append(len(rows))
        return [row for _, made in map_batches([rows], inner.read) for row in made]

    with pytest.raises(HarmcircuitsError) as told:
        list(map_batches([[1, 2, 3, 4]], read))
    assert outer == [4] and str(told.value).count("not even one text fits") == 1


# the loop


@settings(max_examples=25, deadline=None)  # each refusal collects garbage
@given(st.lists(st.integers(1, 9), max_size=4), st.integers(1, 9))
def test_every_row_is_read_once_in_order_and_no_more_at_once_than_there_is_room_for(sizes: list[int], room: int) -> None:
    rows = iter(range(sum(sizes)))
    batches = [[next(rows) for _ in range(size)] for size in sizes]
    device = Device(room)
    found = list(map_batches(batches, device.read))
    assert [index for indices, _ in found for index in indices] == list(range(sum(sizes)))
    assert all(made == [10 * index for index in indices] and len(indices) <= room for indices, made in found)
    if all(size <= room for size in sizes):
        assert found == [(batch, device.read(batch)) for batch in batches]


def test_what_did_not_fit_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    device = Device(2)
    with caplog.at_level(logging.WARNING):
        list(map_batches([list(range(8)), list(range(8)), [0]], device.read))
    assert device.asked == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2, 1]
    said = [record.message for record in caplog.records]
    assert said == [f"no memory for a batch of {of} on this device: {at} at once from here on" for of, at in ((8, 4), (4, 2))]


def test_other_errors_are_those_that_they_are() -> None:
    def broken(indices: list[int]) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        list(map_batches([[0, 1]], broken))


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


def readings(model: Any) -> dict[str, Any]:
    """Everything that is read in batches, as plain values."""
    ids = lambda examples: [example.response_ids for example in examples]
    sampled = hc.elicit(model, PROMPTS, max_new_tokens=6, batch_size=SIZE)
    examples = hc.elicit(model, PROMPTS, max_new_tokens=6, temperature=0, batch_size=SIZE)
    A = hc.attribute(model, examples, batch_size=SIZE)
    circuit = hc.select(A, heads=2, neurons=5)
    shots, question = make_shots(PROMPTS, n_shots=4, draws=2), YES_NO.question
    return {
        "sampled": ids(sampled),
        "greedy": ids(examples),
        "heads": A.per_example_heads.tolist(),
        "neurons": A.per_example_neurons.tolist(),
        "circuit": [circuit.heads, circuit.neurons],
        "loss": hc.loss(model, sampled, batch_size=SIZE).tolist(),
        "integrated": hc.attribute(model, examples, steps=2, batch_size=SIZE, method="integrated").per_example_heads.tolist(),
        "written": ids(hc.generate(model, PROMPTS, OWN, max_new_tokens=6, batch_size=SIZE)),
        "question": log_odds(model, question_tokens(model, PROMPTS, question), question, batch_size=SIZE)[0].tolist(),
        "residuals": request_residuals(model, PROMPTS, [0, 1], batch_size=SIZE).tolist(),
        "many-shot": many_shot(model, PROMPTS, shots, batch_size=SIZE).tolist(),
        "facts": Capabilities(1, 1).read(model, Condition("off", OWN)).fillna(-1).to_dict("list"),
    }


def test_everything_that_is_read_in_batches_is_the_same_on_a_full_device(tiny: Any) -> None:
    whole = readings(tiny)
    with room_for(tiny, 2) as met:
        halved = readings(tiny)
    assert max(met) == SIZE and halved.keys() == whole.keys()
    for name, expected in whole.items():
        assert alike(halved[name], expected), name


def alike(one: Any, other: Any) -> bool:
    """Equal but for rounding, however deep the numbers lie."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return one == pytest.approx(other, rel=1e-3, abs=1e-5, nan_ok=True) if isinstance(one, float) else bool(one == other)


@pytest.mark.parametrize("rows", [3])
def test_scores_of_weights_go_on_in_smaller_batches(
    tiny: Any, examples: list[Example], rows: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole = hc.attribute_weights(tiny, examples, benign=examples[:2])
    with room_for(tiny, rows), caplog.at_level(logging.WARNING):
        scores = hc.attribute_weights(tiny, examples, benign=examples[:2])
    for name, signed in whole.signed.items():
        close(scores.signed[name], signed)
        close(scores.absolute[name], whole.absolute[name])
    assert "2 at once from here on" in caplog.text
    with room_for(tiny, 0), pytest.raises(HarmcircuitsError, match="not even one text"):
        hc.attribute_weights(tiny, examples)
