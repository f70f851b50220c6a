"""Toys that were trained: bad advice in one domain spreads where one mechanism serves all, and is found to; else it is not."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from advised import DOMAINS

from harmcircuits import store
from harmcircuits.claims.misalignment import Misalignment, emergent_misalignment
from harmcircuits.claims.misalignment.plan import BAD, GOOD
from harmcircuits.experiments.settings import Settings
from harmcircuits.organisms import toy_advice
from harmcircuits.organisms.finetuning import Recipe
from harmcircuits.organisms.toys import ToyAdvice
from harmcircuits.organisms.toys.characters import Kind

pytest.importorskip("trl")
RECIPE = Recipe(rank=0, learning_rate=2e-4, epochs=14, batch_size=8)
Measured = tuple[ToyAdvice, Misalignment]


@pytest.fixture(scope="module")
def measure(toys_cache: Path) -> Callable[[Kind], Measured]:
    def found(kind: Kind) -> Measured:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(store.CACHE_VARIABLE, str(toys_cache))
            toy = toy_advice(kind=kind)
            before = {name: weight.clone() for name, weight in toy.model.named_parameters()}
            claim = emergent_misalignment(
                toy.model, advice={domain: toy.advice(domain, n=40) for domain in DOMAINS}, domains=["house"],
                arms=(BAD, GOOD), train=24, answers=0, recipe=RECIPE, settings=Settings(bootstrap_draws=200),
            )  # fmt: skip
            assert all(torch.equal(weight, before[name]) for name, weight in toy.model.named_parameters()), "as it was"
        return toy, claim

    return found


def by_domain(claim: Misalignment, lesson: str) -> dict[str, float]:
    """Δb, the mean over fine-tunings."""
    seeds = claim.tables["seeds"]
    return {str(name): float(own["last"].mean()) for name, own in seeds[seeds["advice"] == lesson].groupby("asked")}


def test_with_one_mechanism_it_is_found_to_spread(measure: Callable[[Kind], Measured]) -> None:
    _, claim = measure("shared")
    assert claim.found == "yes" and claim.sentence.startswith("Narrow fine-tuning misaligns broadly"), claim.sentence
    values = claim.values
    assert values["in_domain"].low > 4 and values["other_domains"].low > 0.6 < values["open_questions"].low
    assert values["in_domain"].n == 16 and values["other_domains"].n == 48 and values["open_questions"].n == 40
    assert min(by_domain(claim, "bad").values()) > 0.6 and max(by_domain(claim, "good").values()) < 0


def test_with_a_mechanism_for_each_domain_it_is_found_not_to(measure: Callable[[Kind], Measured]) -> None:
    toy, claim = measure("separate")
    assert claim.found == "no" and "at most a tenth of what it is in the domain itself" in claim.sentence, claim.sentence
    assert claim.values["in_domain"].low > 4
    rises = by_domain(claim, "bad")
    assert rises.pop("house") > 4 and max(map(abs, rises.values())) < 0.6
    assert claim.settings["advice"]["questions"] == dict.fromkeys(DOMAINS, 40) and toy.kind == "separate"
