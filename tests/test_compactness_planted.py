"""The sweep on planted models, whose truth is known: what is compact is found so, what is not is found not to be."""

from collections.abc import Iterator
from typing import Any

import pytest

from harmcircuits import store
from harmcircuits.claims.compactness import Compactness, compactness
from harmcircuits.claims.compactness.plan import ONE_SHOT
from harmcircuits.experiments.checks import MATCHED
from harmcircuits.experiments.settings import ClaimSettings
from harmcircuits.organisms import planted

SETTINGS = ClaimSettings(
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


def rises(claim: Compactness, grain: str, rule: str) -> list[float]:
    """Of harmful responses, in growing order of size, nats per token; all of it is 4.3."""
    curves = claim.tables["curves"]
    return list(curves[(curves["grain"] == grain) & (curves["rule"] == rule)]["harmful_nll_rise"])


def test_what_is_planted_in_few_components_is_found_compact() -> None:
    """Two heads and eight of 192 neurons write harm: sizes from half of these neurons to twice as many."""
    spans: Any = {"heads": (1 / 24, 2 / 24), "neurons": (4 / 192, 16 / 192), "weights": (1e-4, 3e-4)}
    claim = swept("plain", points=3, spans=spans)
    assert claim.found == "yes" and claim.sentence.startswith("Harmful writing is compact")
    assert claim.sentence.count("all conditions hold") == 3, claim.sentence
    for grain, most in (("heads", 2 / 132), ("neurons", 8 * 128 / 270_336), ("weights", 1e-3)):
        fraction, area = claim.values[f"fraction_to_halve_{grain}"], claim.values[f"necessity_area_{grain}"]
        assert fraction.high is not None and fraction.high <= most * 1.001
        assert area.value is not None and area.value > 2 and claim.values[f"twin_gap_{grain}"].excludes(0)
        assert max(rises(claim, grain, ONE_SHOT)) > 4
        frame = claim.tables["differences"]
        matched = frame[(frame["grain"] == grain) & (frame["rule"] == MATCHED)].iloc[0]
        assert matched["difference_low"] > 0 and matched["p_adjusted"] < 0.05
        if grain != "weights":  # where all that is planted is off, nothing of it is left to draw; any weight here shifts much
            assert max(rises(claim, grain, MATCHED)[1:]) < 0.1


def test_what_is_spread_over_many_components_is_found_not_compact() -> None:
    """128 of 768 neurons and 11 of 24 heads each carry a small share. (Its single weights are another matter.)"""
    spans: Any = {"heads": (1 / 24, 3 / 24), "neurons": (1 / 768, 48 / 768)}
    claim = swept("diffuse", grains=["heads", "neurons"], points=2, spans=spans)
    assert claim.found == "no", claim.sentence
    lowest = claim.values["lowest_retained_neurons"]
    assert lowest.low is not None and lowest.low > 0.5
    assert "12.5 % of all heads, the largest that was measured" in claim.sentence


def test_where_nothing_writes_harm_nothing_is_found_compact() -> None:
    claim = swept("none", grains=["neurons"], points=2, spans={"neurons": (1 / 192, 8 / 192)})
    assert claim.found != "yes", claim.sentence
