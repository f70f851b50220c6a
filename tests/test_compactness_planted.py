"""The sweep on planted models, whose truth is known: what is compact is found so, what is not is found not to be."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from harmcircuits import store
from harmcircuits.claims.compactness import Compactness, compactness
from harmcircuits.claims.compactness.rules import FLIPPED, GREEDY, MATCHED, ONE_SHOT
from harmcircuits.experiments.settings import Settings
from harmcircuits.organisms import planted

SETTINGS = Settings(
    attribution_triples=32, development_triples=8, test_triples=24, probe_triples=16, aim_triples=8, written_triples=1,
    bootstrap_draws=200, max_new_tokens=6, facts=1, passages=3, protect_heads=3 / 24,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


def swept(variant: Any, **options: Any) -> Compactness:
    organism = planted(0, variant)
    return compactness(organism.model, organism.prompts, settings=SETTINGS, name=f"planted {variant}", **options)


@pytest.fixture(scope="module")
def plain() -> Compactness:
    """Two heads and eight of 192 neurons write harm: sizes from half of these neurons to twice as many."""
    spans: Any = {"heads": (1 / 24, 2 / 24), "neurons": (4 / 192, 16 / 192), "weights": (1e-4, 3e-4)}
    return swept("plain", controls=[MATCHED, FLIPPED], points=3, spans=spans, ratios=[20.0])


def rises(claim: Compactness, grain: str, rule: str, role: str = "harmful") -> list[float]:
    """In growing order of size, nats per token; all of it is 4.3."""
    curves = claim.tables["curves"]
    return list(curves[(curves["grain"] == grain) & (curves["rule"] == rule)][f"{role}_nll_rise"])


def above(claim: Compactness, grain: str, rule: str) -> dict[str, Any]:
    frame = claim.tables["differences"]
    return dict(frame[(frame["grain"] == grain) & (frame["rule"] == rule)].iloc[0])


def test_what_is_planted_in_few_components_is_found_compact(plain: Compactness) -> None:
    assert plain.found == "yes" and plain.sentence.startswith("Harmful writing is compact")
    assert plain.sentence.count("all conditions hold") == 3, plain.sentence


@pytest.mark.parametrize(("grain", "most"), [("heads", 2 / 132), ("neurons", 8 * 128 / 270_336), ("weights", 1e-3)])
def test_half_of_it_is_gone_without_what_was_planted(plain: Compactness, grain: str, most: float) -> None:
    fraction, area = plain.values[f"fraction_to_halve_{grain}"], plain.values[f"necessity_area_{grain}"]
    assert fraction.high is not None and fraction.high <= most * 1.001
    assert area.value is not None and area.value > 2 and plain.values[f"twin_gap_{grain}"].excludes(0)
    assert max(rises(plain, grain, ONE_SHOT)) > 4


@pytest.mark.parametrize("grain", ["heads", "neurons"])
def test_greedy_circuits_find_it_too(plain: Compactness, grain: str) -> None:
    assert max(rises(plain, grain, GREEDY)) > 4 and np.abs(rises(plain, grain, GREEDY, "near")).max() < 0.1


@pytest.mark.parametrize("grain", ["heads", "neurons"])
def test_without_what_holds_harm_back_nothing_is_lost(plain: Compactness, grain: str) -> None:
    assert max(rises(plain, grain, FLIPPED)) < 0.1 < 2 < above(plain, grain, FLIPPED)["difference_low"]


@pytest.mark.parametrize("grain", ["heads", "neurons", "weights"])
def test_what_looks_as_important_does_less(plain: Compactness, grain: str) -> None:
    found = above(plain, grain, MATCHED)
    assert found["difference_low"] > 0 and found["p_adjusted"] < 0.05
    if grain != "weights":  # where all that is planted is off, nothing of it is left to draw; any weight here shifts much
        assert max(rises(plain, grain, MATCHED)[1:]) < 0.1


def test_what_is_spread_over_many_components_is_found_not_compact() -> None:
    """128 of 768 neurons and 11 of 24 heads each carry a small share. (Its single weights are another matter.)"""
    spans: Any = {"heads": (1 / 24, 3 / 24), "neurons": (1 / 768, 48 / 768)}
    claim = swept("diffuse", grains=["heads", "neurons"], controls=[MATCHED], points=2, spans=spans, rescore=False)
    assert claim.found == "no", claim.sentence
    lowest = claim.values["lowest_retained_neurons"]
    assert lowest.low is not None and lowest.low > 0.5
    assert "12.5 % of all heads, the largest that was measured" in claim.sentence


def test_a_sweep_that_stops_early_is_no_evidence_against() -> None:
    """One and two of the eight neurons that write harm: most of it is left, and nothing larger was measured."""
    spans: Any = {"neurons": (1 / 192, 2 / 192)}
    claim = swept("plain", grains=["neurons"], controls=[MATCHED], points=2, spans=spans, rescore=False)
    assert claim.found == "undecided" and "larger sizes were not measured" in claim.sentence, claim.sentence


def test_where_nothing_writes_harm_nothing_is_found_compact() -> None:
    spans: Any = {"neurons": (1 / 192, 8 / 192)}
    claim = swept("none", grains=["neurons"], controls=[MATCHED], points=2, spans=spans, rescore=False)
    assert claim.found != "yes", claim.sentence
