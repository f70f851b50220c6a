"""The memory that is planned, against the bytes that PyTorch holds at once while a small random Llama is scored, or writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from families import UNGATED, bridge_around, random_model
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


WIDE = {"d_model": 64, "n_heads": 4, "d_mlp": 192}
LLAMAS: dict[str, tuple[dict[str, Any], torch.dtype]] = {
    "float32": (WIDE, torch.float32),
    "bfloat16": (WIDE, torch.bfloat16),
    "heads together wider than the model": (WIDE | {"head_dim": 48}, torch.float32),
}


@pytest.fixture(scope="module", params=LLAMAS.values(), ids=LLAMAS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Eight layers, of which one is computed at a time."""
    sizes, dtype = request.param
    return load_model(tiny_model_folder(tmp_path_factory.mktemp("deep"), n_layers=8, **sizes), device="cpu", dtype=dtype)


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
    live: dict[int, int] = {}  # what was there before and is freed meanwhile is no part of it
    now = most = 0
    for event in sorted(events, key=lambda one: one["ts"]):
        place, size = event["args"]["Addr"], event["args"]["Bytes"]
        now += size if size > 0 else -live.pop(place, 0)
        live |= {place: size} if size > 0 else {}
        most = max(most, now)
    return most


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("length", [48, 192, 1000])
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
    assert 0.9 * found < planned < 1.2 * found


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("length", [48, 192])
@pytest.mark.parametrize("family", ["gpt2", "pythia", "qwen3", "gemma3", "olmo2"])
def test_other_architectures_are_planned_as_if_they_were_llamas(
    family: str, tmp_path: Path, length: int, checkpoint: bool
) -> None:
    """Without a gate in the MLP less is kept, and the plan does not know."""
    deep = bridge_around("deep", deeper(random_model(family)))
    shape, rows = shape_of(deep.original_model.config), Rows(n=N, length=length, asked=ASKED, batch=N)
    batch, score = laid(deep, length)
    block, lies = matrices(deep), 4 * shape.parameters
    sums = empty_sums(block, signed=True, absolute=False, device=None)
    heads = held(lambda: score_batch(deep, batch, score, checkpoint=checkpoint), tmp_path)
    weights = held(lambda: add_gradients(deep, block, batch, score, sums, checkpoint=checkpoint), tmp_path)
    planned = memory.activations(shape, rows, element=4, checkpoint=checkpoint).bytes - lies
    of_weights = memory.weights(shape, rows, element=4, gpu=True, checkpoint=checkpoint).bytes - lies - 4 * shape.matrices
    most = 1.6 if family in UNGATED else 1.4
    assert 0.95 * heads < planned < most * heads
    assert 0.95 * weights < of_weights < most * weights


def deeper(model: Any) -> Any:
    """The same architecture with eight layers."""
    config = model.config
    config.num_hidden_layers = 8
    if getattr(config, "layer_types", None):
        config.layer_types = (config.layer_types * 8)[:8]
    return type(model)(config).eval()


def laid(model: Any, length: int) -> tuple[Any, Any]:
    draws = torch.Generator().manual_seed(0)
    rows = [Row(tuple(torch.randint(5, 400, (length,), generator=draws).tolist()), length - ASKED, length) for _ in range(N)]
    return make_batch(model, rows), laid_out(model, [Example(request="Bread?", response="Bread.")], None).score
