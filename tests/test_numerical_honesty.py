"""What is not a number is named, by example and place, and never averaged away; and examples of every length.

One example of several holds a token at which a hook makes an activation NaN or infinite; the others are as they were.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from tiny import tiny_bridge
from torch import Tensor
from triples import RUN, make_triples

import harmcircuits as hc
from harmcircuits.ablation.sweep import sweep
from harmcircuits.circuits import Circuit
from harmcircuits.data import Example, Prompt, encode
from harmcircuits.data.elicit import elicit
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.readings.many_shot import Shots, many_shot
from harmcircuits.readings.recognition import YES_NO, question_log_odds

MARK = "\u00a4"
"""Encoded by this tokenizer as tokens that nothing else here has."""
POINT, BAD = "blocks.0.mlp.hook_post", 2
EXAMPLES = [Example(request=f"How do I {verb} bread?", response="Mix flour and water.", category="bread", role=role)
            for verb, role in (("bake", "harmful"), ("cut", "near"), (f"b{MARK}y", "harmful"), ("eat", "near"))]  # fmt: skip
PROMPTS = [Prompt(request=one.request, category="bread", role=one.role or "far") for one in EXAMPLES]
SHOTS = Shots(((("Break the window", True), ("Clean the window", False)),))


@pytest.fixture(scope="module")
def model(hooked: bool, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_bridge(tmp_path_factory.mktemp("model"), hooked=hooked)


@contextmanager
def poisoned(model: Any, value: float, *, point: str = POINT) -> Iterator[None]:
    """One number of the activation at `point` becomes `value`, in rows that hold the mark."""
    marks = model.W_E[encode(model, MARK)]
    rows: list[Tensor] = []

    def see(embeddings: Tensor, hook: object) -> Tensor:
        rows[:] = [(embeddings.unsqueeze(2) == marks).all(-1).any(-1)]
        return embeddings

    def spoil(activation: Tensor, hook: object) -> Tensor:
        found = rows[0] if rows[0].shape[0] == activation.shape[0] else rows[0].expand(len(activation), -1)
        wrong = torch.zeros_like(activation)
        wrong[found] = value
        return activation + wrong

    with model.hooks(fwd_hooks=[("hook_embed", see), (point, spoil)]):
        yield


VALUES = pytest.mark.parametrize("value", [float("nan"), float("inf")])
CURE = r"In half precision.*dtype=torch\.float32.*a hook of yours divides by zero"
VERBS: dict[str, Callable[[Any], object]] = {
    "loss": lambda model: hc.loss(model, EXAMPLES),
    "sweep": lambda model: sweep(model, [None, Circuit(heads=[(0, 1)])], EXAMPLES),
    "question": lambda model: question_log_odds(model, PROMPTS, YES_NO.question),
    "recognition": lambda model: many_shot(model, PROMPTS, SHOTS),
}


@VALUES
@pytest.mark.parametrize("verb", VERBS)
def test_readings_name_the_example(model: Any, verb: str, value: float) -> None:
    with poisoned(model, value), pytest.raises(HarmcircuitsError, match=rf"of example {BAD} is not a number\. {CURE}"):
        VERBS[verb](model)
    VERBS[verb](model)  # and nothing is left of it


ATTRIBUTIONS: dict[str, Callable[[Any], object]] = {
    "first order": lambda model: hc.attribute(model, EXAMPLES),
    "integrated": lambda model: hc.attribute(model, EXAMPLES, steps=1, method="integrated"),
    "exact": lambda model: hc.attribute(model, EXAMPLES, heads=[(0, 1)], neurons=[(1, 7)], method="exact"),
}


@VALUES
@pytest.mark.parametrize("algorithm", ATTRIBUTIONS)
def test_scores_name_component_and_example(model: Any, algorithm: str, value: float) -> None:
    message = rf"the score of (head|neuron) \(\d, \d+\) of example {BAD} is not a number\. {CURE}"
    with poisoned(model, value), pytest.raises(HarmcircuitsError, match=message):
        ATTRIBUTIONS[algorithm](model)


@VALUES
@pytest.mark.parametrize("which", ["harmful", "benign"])
def test_scores_of_weights_name_matrix_and_example(model: Any, which: str, value: float) -> None:
    clean = [EXAMPLES[0], EXAMPLES[1]]
    sets = {"harmful": clean, "benign": clean} | {which: EXAMPLES}
    message = rf"the gradient of blocks\.\d\.\S+ on example {BAD} is not a number.*leave that example out"
    with poisoned(model, value), pytest.raises(HarmcircuitsError, match=message):
        hc.attribute_weights(model, sets["harmful"], benign=sets["benign"])


@VALUES
def test_generation_names_the_row(model: Any, value: float) -> None:
    for write in (elicit, partial(hc.generate, circuit=Circuit(heads=[(0, 1)]))):
        with (
            poisoned(model, value),
            pytest.raises(HarmcircuitsError, match=rf"row {BAD}, step 0: the model's logits are not finite"),
        ):
            write(model, PROMPTS, max_new_tokens=2)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_whole_run_stops_and_says_where(model: Any, value: float) -> None:
    asked = list(make_triples(4))
    asked[BAD] = replace(asked[BAD], request=f"Kindly describe {MARK}")
    triples = hc.PromptSet(asked)
    with (
        poisoned(model, value),
        pytest.raises(HarmcircuitsError, match=r"row \d+, step 0|of example \d+ is not a number"),
    ):
        hc.dissociate(model, Circuit(heads=[(0, 1)]), triples, settings=RUN)


# Lengths


@pytest.mark.parametrize("ids", [(99_999,), (-100, 5)])
def test_ids_of_no_token(model: Any, ids: tuple[int, ...]) -> None:
    """−100 is what PyTorch's loss leaves out by itself."""
    with pytest.raises(HarmcircuitsError, match=r"ids beyond the model's \d+ tokens.*Elicit it again"):
        hc.loss(model, [Example(request="Bread?", response="x", response_ids=ids)])
