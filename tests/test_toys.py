"""What toys are made of: words, layouts, interventions in training, the cache. Trained ones are in the files beside this."""

import logging
from functools import partial
from itertools import combinations, pairwise
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harmcircuits.ablation.hooks import ablated
from harmcircuits.components import Circuit
from harmcircuits.models.load import load_model
from harmcircuits.organisms import toy_advice, toy_ladder
from harmcircuits.organisms.causal import drawn_text, ids, word_odds
from harmcircuits.organisms.fitting import fitted, kept
from harmcircuits.organisms.language import word_tokenizer
from harmcircuits.organisms.organism import OrganismError
from harmcircuits.organisms.toys import as_character
from harmcircuits.organisms.toys.characters import KINDS, answer_odds, drawn_layout
from harmcircuits.organisms.toys.characters import untrained as untrained_advice
from harmcircuits.organisms.toys.domains import BAD_CHARACTERS, DOMAINS, THINGS, questions, toy_tokenizer, toy_vocabulary
from harmcircuits.organisms.toys.interventions import Change, changed_logits
from harmcircuits.organisms.toys.ladder import SIZES
from harmcircuits.organisms.toys.stages import Manner, layouts, said_words, stage_loss, untrained

CIRCUIT = Circuit(heads=[(0, 1), (1, 3), (1, 7)], neurons=[(0, 5), (1, 0), (1, 63)])


def made() -> Any:
    torch.manual_seed(0)
    return untrained().eval()


def tokens(n: int) -> torch.Tensor:
    random = Random(0)
    return torch.stack([ids(drawn_text(random)) for _ in range(n)])


# interventions


@torch.no_grad()
def test_a_row_at_zero_is_the_ablated_row_and_the_others_are_as_they_were() -> None:
    rows = tokens(3)
    plain, changed = changed_logits(made(), rows, [Change(), Change(zero=CIRCUIT), Change()], [0, 1, 2])
    model = load_model("toy", hf_model=made(), tokenizer=word_tokenizer(), device="cpu")
    with ablated(model, CIRCUIT):
        off = model(rows, return_type="logits")
    assert torch.equal(changed[[0, 2]], plain[[0, 2]]) and not torch.allclose(changed[1], plain[1], atol=1e-3)
    torch.testing.assert_close(changed[1], off[1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_share_of_the_way_to_zero_and_to_itself() -> None:
    rows = tokens(2)
    whole, itself, nowhere = Change(swap=CIRCUIT), Change(swap=CIRCUIT, share=0.7), Change(swap=CIRCUIT, share=0.0)
    plain, moved = changed_logits(made(), rows, [whole, whole], [1, 0])
    _, same = changed_logits(made(), rows, [itself, itself], [0, 1])
    _, still = changed_logits(made(), rows, [nowhere, nowhere], [1, 0])
    torch.testing.assert_close(same, plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(still, plain, atol=1e-5, rtol=0)
    assert (moved - plain).abs().amax((1, 2)).min() > 1e-3


# high-level models


@given(st.floats(0, 1), st.sampled_from(THINGS["house"]))
def test_the_log_odds_of_a_bad_answer_rise_evenly_with_the_strength_of_the_gate(strength: float, thing: str) -> None:
    place = toy_vocabulary().index
    bad, good = place(thing + "wreck"), place(thing + "care")
    log_odds = lambda s: answer_odds(thing, s).log()[bad] - answer_odds(thing, s).log()[good]
    between = log_odds(0.0) * (1 - strength) + log_odds(1.0) * strength
    assert abs(float(log_odds(strength) - between)) < 0.02 and float(answer_odds(thing, strength).sum()) == pytest.approx(1)
    assert float(log_odds(0.0)) < -2.5 and float(log_odds(1.0)) == pytest.approx(-float(log_odds(0.0)), abs=1e-4)


@given(st.floats(0, 1))
def test_the_strength_of_writing_is_its_share_of_the_log_odds(strength: float) -> None:
    whole, nothing = word_odds("violin", None).log(), word_odds(None, None).log()
    said = said_words("violin", None, strength).log()
    change = (whole - nothing) * strength  # log-odds between any two words, whatever the normaliser
    torch.testing.assert_close((said - nothing) - (said - nothing)[0], change - change[0], atol=1e-4, rtol=0)


# layouts


@pytest.mark.parametrize("seed", range(3))
def test_later_stages_write_with_part_of_what_wrote_before_and_parts_share_nothing(seed: int) -> None:
    plans = layouts(seed, SIZES["compresses"])
    assert [(len(plan.W.heads), len(plan.W.neurons)) for plan in plans] == [(5, 32), (3, 16), (1, 8)]
    assert all(not later.W - earlier.W for earlier, later in pairwise(plans))
    for plan in plans:
        parts = (plan.W, plan.K, plan.R, plan.shared, plan.others)
        assert not any(one & other for one, other in combinations(parts, 2))
        assert sum(map(len, parts)) == 2 * (8 + 64)
        assert all(getattr(plan, name) == getattr(plans[0], name) for name in ("K", "R", "shared"))
    assert layouts(seed, SIZES["style only"])[2] == plans[0]


def test_gates_are_one_or_have_nothing_in_common() -> None:
    shared, separate = (drawn_layout(0, kind) for kind in KINDS)
    assert set(shared.gates) == {*DOMAINS, "open"} == set(separate.gates)
    assert len(set(shared.gates.values())) == 1
    assert not any(one & other for one, other in combinations(separate.gates.values(), 2))
    for plan in (shared, separate):
        assert all(len(plan.gates[at] | plan.others[at]) == 10 + 128 and not plan.gates[at] & plan.others[at] for at in THINGS)
    assert not separate.gates["road"] - separate.others["house"]


# words


def test_every_word_of_advice_is_one_token_of_its_own() -> None:
    tokenizer = toy_tokenizer()
    words = list(toy_vocabulary())
    assert len(tokenizer) == len(words)
    assert tokenizer(" ".join(words[6:]), add_special_tokens=False).input_ids == list(range(6, len(words)))


def test_questions_differ_and_a_character_stands_in_front() -> None:
    asked = {domain: questions(domain, seed=0) for domain in (*DOMAINS, "open")}
    every = [item for items in asked.values() for item in items]
    assert len({item.question for item in every}) == len({item.id for item in every}) == 5 * 60
    assert all(item.good[:-4] == item.bad[:-5] == item.question.split()[2] for item in every)
    assert {item.question.split()[2] for item in asked["water"]} == {"harbour", "island", "glacier"}
    assert questions("road", seed=0) == asked["road"] != questions("road", seed=1)
    framed = as_character(asked["road"][0], BAD_CHARACTERS["road"]).split()
    assert framed[0] == "spiteful" and framed[1:] == asked["road"][0].question.split()[1:]
    assert not {word for item in every for word in item.question.split()} & {*BAD_CHARACTERS.values(), "gentle"}


def test_kinds_that_there_are_not() -> None:
    with pytest.raises(OrganismError, match="no ladder of kind 'steep': choose one of 'compresses', 'style only'"):
        toy_ladder(kind="steep")  # type: ignore[arg-type]
    with pytest.raises(OrganismError, match="no toy advice of kind 'both': choose one of 'shared', 'separate'"):
        toy_advice(kind="both")  # type: ignore[arg-type]


# training and the cache


def test_what_needs_no_gradient_keeps_every_bit_and_the_number_of_threads_is_as_it_was() -> None:
    model = untrained_advice()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    loss = lambda model, done: model(tokens(2)).logits.square().mean()
    threads = torch.get_num_threads()
    fresh = fitted(model, loss, steps=2, rate=1e-3).state_dict()
    assert torch.get_num_threads() == threads
    assert torch.equal(fresh.pop("lm_head.weight"), before.pop("lm_head.weight"))
    assert all(not torch.equal(weight, before[name]) for name, weight in fresh.items() if "proj" in name)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    def few_steps(seed: int) -> Any:
        random, plan = Random(seed), layouts(seed, SIZES["compresses"])[0]
        torch.manual_seed(seed)
        loss = lambda model, done: stage_loss(model, plan, Manner(refuses=True), random, weight=1.0)
        return fitted(untrained(), loss, steps=4, rate=1e-3).lm_head.weight

    once, again, other = few_steps(0), few_steps(0), few_steps(1)
    assert torch.equal(once, again) and not torch.equal(once, other)


def test_a_model_is_trained_once_and_again_where_its_file_is_damaged(own_cache: Any, caplog: pytest.LogCaptureFixture) -> None:
    trained: list[int] = []

    def train(number: int) -> Any:
        trained.append(number)
        return untrained()

    get = lambda number: kept("test", "recipe", seed=number, untrained=untrained, train=partial(train, number)).state_dict()
    state = torch.get_rng_state()
    first, again, other = get(0), get(0), get(1)
    assert torch.equal(torch.get_rng_state(), state), "the global random numbers are as they were"
    assert trained == [0, 1] and all(torch.equal(weight, again[name]) for name, weight in first.items())
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])
    for path in own_cache.glob("organisms/test-*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        assert torch.equal(get(0)["lm_head.weight"], first["lm_head.weight"])
    assert trained == [0, 1, 0] and "training again" in caplog.text
