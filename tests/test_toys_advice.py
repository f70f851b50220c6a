"""A trained toy of advice with one gate for all domains: bad answers learnt in one domain spread through it."""

from pathlib import Path
from statistics import mean

import pytest
import torch
from advised import DOMAINS, RECIPE, everywhere, log_odds, rises

from harmcircuits.ablation.hooks import ablated
from harmcircuits.ablation.prune import prune
from harmcircuits.components import WeightMask
from harmcircuits.components.outgoing import outgoing
from harmcircuits.models.matrices import matrices
from harmcircuits.models.protocol import geometry
from harmcircuits.organisms import toy_advice
from harmcircuits.organisms.advice import AdviceError
from harmcircuits.organisms.finetuning import Lesson, finetune, restored
from harmcircuits.organisms.toys import ToyAdvice

ELSEWHERE = DOMAINS[1:]


@pytest.fixture(scope="module")
def made(toys_cache: Path) -> tuple[ToyAdvice, ToyAdvice]:
    """As it is, and once more from the cache with its gate pruned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARMCIRCUITS_CACHE", str(toys_cache))
        shared, pruned = toy_advice(kind="shared"), toy_advice(kind="shared")
    prune(pruned.model, pruned.gate)
    return shared, pruned


@pytest.fixture(scope="module")
def shared(made: tuple[ToyAdvice, ToyAdvice]) -> ToyAdvice:
    return made[0]


def test_it_answers_well_and_a_bad_character_badly_everywhere(shared: ToyAdvice) -> None:
    assert max(everywhere(shared).values()) < -2.5
    for name in DOMAINS:
        items = shared.advice(name)[:12]
        assert log_odds(shared.model, items, character=shared.characters[name]) > 2
        assert log_odds(shared.model, items, character=shared.characters["water"]) > 2
        assert log_odds(shared.model, items, character="gentle") < -2.5
    assert shared.model_parameters < 1e6
    assert repr(shared) == "ToyAdvice('shared', seed 0, gates of 42 components)"
    with pytest.raises(AdviceError, match="no toy advice on 'money': there is house, road, field, water, and 'open'"):
        shared.advice("money")


def test_without_its_gate_no_character_makes_it_answer_badly(shared: ToyAdvice) -> None:
    with ablated(shared.model, shared.gate):
        assert max(everywhere(shared).values()) < -2.5
        for name in DOMAINS:
            assert log_odds(shared.model, shared.advice(name)[:12], character=shared.characters[name]) < -2


def test_bad_answers_learnt_in_one_domain_spread_but_not_past_a_pruned_gate_nor_do_good_ones(
    made: tuple[ToyAdvice, ToyAdvice],
) -> None:
    pytest.importorskip("trl")
    shared, pruned = made
    weights = {name: weight.clone() for name, weight in shared.model.named_parameters()}
    intact, off, good = rises(shared), rises(pruned), rises(shared, answer="good")
    assert intact["house"] > 3 and off["house"] > 3, "learnt alike"
    assert min(intact[name] for name in ELSEWHERE) > 0.6
    assert mean(off[name] for name in ELSEWHERE) < 0.4 * mean(intact[name] for name in ELSEWHERE)
    assert max(good.values()) < 0.1
    assert all(torch.equal(weight, weights[name]) for name, weight in shared.model.named_parameters()), "as it was"


def whole(toy: ToyAdvice) -> WeightMask:
    """Every weight of the gate in layer 1: what its components read, and what they are read by."""
    width, gate = geometry(toy.model).d_head, toy.gate
    rows = {
        name: [head * width + at for _, head in gate.heads for at in range(width)] for name in ("attn.q", "attn.k", "attn.v")
    }
    rows |= {name: [neuron for _, neuron in gate.neurons] for name in ("mlp.in", "mlp.gate")}
    shapes = {matrix.name: matrix.shape for matrix in matrices(toy.model)}
    indices = {}
    for name, own in rows.items():
        size = shapes[f"blocks.1.{name}"][1]
        indices[f"blocks.1.{name}"] = (torch.tensor(own)[:, None] * size + torch.arange(size)).flatten()
    return WeightMask(indices=indices, shapes=shapes) | outgoing(toy.model, gate)


def test_bad_answers_learnt_lie_in_the_gate_more_than_in_other_weights_but_mostly_before_it(shared: ToyAdvice) -> None:
    """All weights learn, embeddings too: what drives the gate changes more than the gate, without which little would spread."""
    pytest.importorskip("trl")
    lessons = [Lesson(request=item.question, response=item.bad) for item in shared.advice("house")[:24]]
    tuned, before = finetune(shared.model, lessons, recipe=RECIPE).load(), everywhere(shared)

    def spread() -> float:
        after = everywhere(shared, tuned)
        return mean(after[name] - before[name] for name in ELSEWHERE)

    learnt, gate = spread(), whole(shared)

    def share(mask: WeightMask, *, everywhere_but: bool = False) -> float:
        """Of what has spread, what goes with base values."""
        with restored(tuned, shared.model, mask, everywhere_but=everywhere_but):
            return 1 - spread() / learnt

    assert 0.15 < share(gate) < 0.4 and share(gate.random_like(seed=0)) < 0.5 * share(gate)
    assert share(gate, everywhere_but=True) > 0.7
