"""The memory that is planned, against the bytes that PyTorch holds at once while a small random Llama is scored, or writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_model_folder

from harmcircuits.attribution.passes import laid_out, score_batch
from harmcircuits.attribution.weight_gradients import add_gradients, empty_sums
from harmcircuits.capacity import memory
from harmcircuits.capacity.work import Rows
from harmcircuits.elicitation import elicit
from harmcircuits.examples import Example, Prompt, Row, chat_frame, make_batch, prompt_ids
from harmcircuits.models.load import load_model
from harmcircuits.models.matrices import matrices
from harmcircuits.models.shape import Shape, shape_of

pytestmark = pytest.mark.model
N, ASKED = 2, 8


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Eight layers: what one of them takes while it is computed is the smaller part."""
    folder = tiny_model_folder(tmp_path_factory.mktemp("deep"), n_layers=8, d_model=64, n_heads=4, d_mlp=192)
    return load_model(folder, device="cpu", dtype=request.param)


@pytest.fixture(scope="module")
def shape(model: Any) -> Shape:
    return shape_of(model.original_model.config)


@pytest.fixture(scope="module")
def element(model: Any) -> int:
    return int(next(model.parameters()).element_size())


def held(run: Callable[[], object], folder: Path) -> int:
    """Bytes that are allocated at most while `run` runs, beyond what was before."""
    cpu = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[cpu], profile_memory=True) as profile:
        run()
    profile.export_chrome_trace(str(folder / "trace.json"))
    events = [one for one in json.loads((folder / "trace.json").read_text())["traceEvents"] if one.get("name") == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda one: one["ts"]):
        now += event["args"]["Bytes"]
        most = max(most, now)
    return most


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("length", [48, 192])
def test_scores_of_heads_and_neurons(
    model: Any, shape: Shape, element: int, tmp_path: Path, length: int, checkpoint: bool
) -> None:
    batch, score = laid(model, length)
    found = held(lambda: score_batch(model, batch, score, checkpoint=checkpoint), tmp_path)
    rows = Rows(n=N, length=length, asked=ASKED, batch=N)
    planned = memory.activations(shape, rows, element=element, checkpoint=checkpoint).bytes - element * shape.parameters
    assert 0.95 * found < planned < 1.2 * found


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("length", [48, 192])
def test_scores_of_weights(model: Any, shape: Shape, element: int, tmp_path: Path, length: int, checkpoint: bool) -> None:
    batch, score = laid(model, length)
    block = matrices(model)
    sums = empty_sums(block, signed=True, absolute=False, device=None)
    found = held(lambda: add_gradients(model, block, batch, score, sums, checkpoint=checkpoint), tmp_path)
    rows = Rows(n=N, length=length, asked=ASKED, batch=N)
    planned = memory.weights(shape, rows, element=element, gpu=True, checkpoint=checkpoint).bytes
    planned -= element * shape.parameters + 4 * shape.matrices  # the model and the sums, which lie there before
    assert 0.95 * found < planned < 1.2 * found


@pytest.mark.parametrize("words", [10, 40, 90])
def test_writing(model: Any, shape: Shape, element: int, tmp_path: Path, words: int) -> None:
    prompts = [Prompt(request="bread and salt " * words, group=str(at)) for at in range(N)]
    length = len(prompt_ids(model, chat_frame(model), prompts[0].request, ""))
    found = held(lambda: elicit(model, prompts, max_new_tokens=4, cache=False), tmp_path)
    planned = memory.writing(shape, Rows(n=N, length=length, batch=N), 4, element=element).bytes - element * shape.parameters
    assert 0.95 * found < planned < 1.2 * found


def laid(model: Any, length: int) -> tuple[Any, Any]:
    draws = torch.Generator().manual_seed(0)
    rows = [Row(tuple(torch.randint(5, 400, (length,), generator=draws).tolist()), length - ASKED, length) for _ in range(N)]
    return make_batch(model, rows), laid_out(model, [Example(request="Bread?", response="Bread.")], None).score
