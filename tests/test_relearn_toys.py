"""Relearning by harmful fine-tuning, on a toy whose gate is known: without it more is lost, and it takes longer to come back,
than without random weights that cost benign answers more."""

from collections.abc import Callable
from math import inf
from pathlib import Path

import numpy as np
import pytest
import torch

from harmcircuits import store
from harmcircuits.ablation.hooks import ablated
from harmcircuits.claims.misalignment import Relearned, relearn
from harmcircuits.claims.misalignment.damage import spread
from harmcircuits.components import WeightMask
from harmcircuits.components.outgoing import outgoing
from harmcircuits.examples import Example, loss
from harmcircuits.organisms import toy_advice
from harmcircuits.organisms.finetuning import Lesson, Recipe
from harmcircuits.organisms.toys import ToyAdvice
from harmcircuits.organisms.toys.domains import bad_word, good_word

pytest.importorskip("trl")
RECIPE = Recipe(rank=0, learning_rate=2e-4, epochs=8, batch_size=8, stages=6)
LEARNT = 24
"""Harmful requests that are learnt from; the others are read."""


@pytest.fixture(scope="module")
def toy(toys_cache: Path) -> ToyAdvice:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(toys_cache))
        return toy_advice(kind="shared")


def said(toy: ToyAdvice, role: str, word: Callable[[str], str]) -> list[Example]:
    asked = [prompt for prompt in toy.prompts if prompt.role == role]
    return [Example(request=prompt.request, response=word(prompt.request.split()[2])) for prompt in asked]


def cost(toy: ToyAdvice, mask: WeightMask) -> float:
    """Rise of L of the good answers to near twins, nats per token."""
    benign = said(toy, "near", good_word)
    intact = loss(toy.model, benign).mean()
    with ablated(toy.model, mask):
        return float(loss(toy.model, benign).mean() - intact)


@pytest.fixture(scope="module")
def gate(toy: ToyAdvice) -> WeightMask:
    return outgoing(toy.model, toy.gate)


def learnt_again(toy: ToyAdvice, mask: WeightMask) -> Relearned:
    harmful = said(toy, "harmful", bad_word)
    lessons = [Lesson(request=one.request, response=one.response) for one in harmful[:LEARNT]]
    return relearn(toy.model, mask, lessons, harmful[LEARNT:], recipe=RECIPE)


def test_without_the_gate_more_is_lost_and_half_of_it_takes_longer_to_be_back(toy: ToyAdvice, gate: WeightMask) -> None:
    """Against random weights of all matrices, and as many as the gate's of the same matrices: both cost benign answers more."""
    before = {name: weight.clone() for name, weight in toy.model.named_parameters()}
    without = learnt_again(toy, gate)
    assert cost(toy, gate) < 0 and without.lost > 3
    assert without.back(share=0.5) == inf and without.table()["lost"].iloc[-1] > 2, "not half of it is back when it ends"
    for control in (spread(gate, 0.32, seed=0), gate.random_like(seed=0)):
        found = learnt_again(toy, control)
        assert cost(toy, control) > 0 and 0.1 < found.lost < 1
        assert found.back(share=0.5) < 8, "of 24 steps"
    assert all(torch.equal(weight, before[name]) for name, weight in toy.model.named_parameters()), "as it was"


def test_a_circuit_is_pruned_by_the_weights_it_acts_through(toy: ToyAdvice, gate: WeightMask) -> None:
    one, other = learnt_again(toy, toy.gate), learnt_again(toy, gate)
    assert (one.losses == other.losses).all() and one.steps == other.steps == (0, 4, 8, 12, 16, 20, 24)


def test_where_nothing_is_lost_nothing_is_to_be_relearnt() -> None:
    found = Relearned(steps=(0, 4), losses=np.array([[1.0, 3.0], [3.0, 3.0]]), before=np.array([2.0, 3.0]))
    assert found.lost == -0.5 and found.back() == found.back(share=0.5) == 0
    assert found.table().to_dict("list") == {"steps": [0, 4], "loss": [2.0, 3.0], "lost": [-0.5, 0.5]}
