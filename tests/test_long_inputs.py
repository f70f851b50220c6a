"""The longest and the shortest texts, half precision: numbers, or an error that says what is wrong."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_bridge

import harmcircuits as hc
from harmcircuits.data import Example, Prompt, example_rows
from harmcircuits.errors import HarmcircuitsError

CONTEXT = 96
SHORT = Example(request="Say hello.", response="", response_ids=(7,))
CIRCUIT = hc.Circuit(heads=[(0, 1)])
READ: dict[str, Callable[[Any, list[Example]], torch.Tensor]] = {
    "loss": hc.loss,
    "attribute": lambda model, examples: hc.attribute(model, examples).per_example_neurons,
    "attribute_weights": lambda model, examples: hc.attribute_weights(model, examples, benign=examples).signed[
        "blocks.0.mlp.in"
    ],
    "sweep": lambda model, examples: torch.tensor(hc.sweep(model, [None, CIRCUIT], examples).to_numpy()),
    "mean": lambda model, examples: mean_ablated(model, examples),
}


def mean_ablated(model: Any, examples: list[Example]) -> torch.Tensor:
    with hc.ablated(model, CIRCUIT, method="mean", reference=examples):
        return hc.loss(model, examples)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, hooked: bool) -> Any:
    return tiny_bridge(tmp_path_factory.mktemp("model"), hooked=hooked, max_position_embeddings=CONTEXT)


def of_length(model: Any, length: int) -> Example:
    """An example of so many tokens in all."""
    (row,) = example_rows(model, [SHORT])
    return replace(SHORT, response_ids=tuple(range(5, 6 + length - len(row))))


@pytest.mark.model
@pytest.mark.parametrize("name", READ)
def test_a_response_may_end_with_the_context_and_not_after_it_nor_be_empty(model: Any, name: str) -> None:
    fits, over = (of_length(model, length) for length in (CONTEXT, CONTEXT + 1))
    found = READ[name](model, [fits, SHORT, replace(SHORT, request="a"), replace(SHORT, request="")])
    assert found.isfinite().all() and found.abs().max() > 0
    if name in ("loss", "attribute"):
        torch.testing.assert_close(found[:1], READ[name](model, [fits]), atol=1e-5, rtol=1e-5)
    with pytest.raises(HarmcircuitsError, match=rf"example 1 is {CONTEXT + 1} tokens long, .*context holds {CONTEXT}"):
        READ[name](model, [fits, over])
    with pytest.raises(HarmcircuitsError, match="has an empty response"):
        READ[name](model, [fits, replace(SHORT, response_ids=())])


@pytest.mark.model
def test_what_is_written_may_end_with_the_context(model: Any) -> None:
    prompt = Prompt("a", prefill="b")
    room = CONTEXT - len(example_rows(model, [replace(SHORT, **vars(prompt))])[0]) + 1
    for write in (hc.elicit, hc.generate):
        (written,) = write(model, [prompt], max_new_tokens=room, temperature=0)
        assert 1 <= len(written.response_ids or ()) <= room
        with pytest.raises(HarmcircuitsError, match=f"context holds {CONTEXT}"):
            write(model, [prompt], max_new_tokens=room + 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads its memory in /proc")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_at_the_ends_of_the_context(tmp_path: Path, dtype: torch.dtype) -> None:
    full = tiny_bridge(tmp_path / "model", max_position_embeddings=CONTEXT)
    half = hc.load_model(tmp_path / "model", device="cpu", dtype=dtype)
    examples = [of_length(full, CONTEXT), SHORT]
    assert (hc.loss(half, examples) - hc.loss(full, examples)).abs().max() < 0.1
    for name in ("attribute", "attribute_weights", "mean"):
        found = READ[name](half, examples)
        assert found.dtype == torch.float32 and found.isfinite().all(), name
