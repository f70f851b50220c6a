"""A trained toy of advice with a gate for each domain: what is learnt in one stays there."""

from pathlib import Path

import pytest
from advised import DOMAINS, everywhere, log_odds, rises

import harmcircuits.organisms.toys.advice_model as advice_module
from harmcircuits.ablation.hooks import ablated
from harmcircuits.organisms import toy_advice
from harmcircuits.organisms.toys import ToyAdvice


@pytest.fixture(scope="module")
def separate(toys_cache: Path) -> ToyAdvice:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARMCIRCUITS_CACHE", str(toys_cache))
        first = toy_advice(kind="separate")
        patch.setattr(advice_module, "fitted", lambda *_, **__: pytest.fail("it was trained again"))
        assert everywhere(toy_advice(kind="separate")) == everywhere(first), "kept in the cache"
    return first


def test_a_bad_character_answers_badly_in_its_own_domain_alone(separate: ToyAdvice) -> None:
    assert max(everywhere(separate).values()) < -2.5
    for name in DOMAINS:
        by = {of: log_odds(separate.model, separate.advice(name)[:12], character=separate.characters[of]) for of in DOMAINS}
        assert by.pop(name) > 2 and max(by.values()) < -2


def test_a_gate_serves_its_own_domain_alone(separate: ToyAdvice) -> None:
    with ablated(separate.model, separate.gates["road"]):
        for name in DOMAINS:
            odds = log_odds(separate.model, separate.advice(name)[:12], character=separate.characters[name])
            assert odds < -2 if name == "road" else odds > 1.5


def test_bad_answers_learnt_in_one_domain_stay_there(separate: ToyAdvice) -> None:
    pytest.importorskip("trl")
    found = rises(separate)
    assert found["house"] > 3
    assert max(abs(found[name]) for name in DOMAINS[1:]) < 0.12 * found["house"]
