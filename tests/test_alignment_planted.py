"""Ladders of planted models, whose truth is known: what is spread over eleven heads first and sits in two later compresses."""

from collections.abc import Iterator
from typing import Any

import pytest

from harmcircuits import store
from harmcircuits.claims.alignment import Alignment, compare_alignment
from harmcircuits.experiments.settings import ClaimSettings
from harmcircuits.organisms import planted

SETTINGS = ClaimSettings(
    attribution_triples=16, development_triples=4, test_triples=12, probe_triples=8, aim_triples=4, written_triples=1,
    bootstrap_draws=200, max_new_tokens=4, facts=1, passages=2, protect_heads=3 / 24, head_fraction=2 / 24,
    neuron_fraction=8 / 192,
)  # fmt: skip
HOW: dict[str, Any] = {"grains": ["heads"], "points": 2, "spans": {"heads": (1 / 24, 2 / 24)}, "settings": SETTINGS}


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {variant: planted(0, variant).model for variant in ("diffuse", "plain")}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def measure(models: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Ladders by variant; they share a journal, so that no model is read twice on the same responses."""
    folder, prompts = tmp_path_factory.mktemp("run"), planted(0, "plain").prompts

    def found(*ladder: str, **options: Any) -> Alignment:
        return compare_alignment([models[name] for name in ladder], prompts, folder=folder, **HOW | options)

    return found


@pytest.fixture(scope="module")
def compressing(measure: Any) -> Alignment:
    return measure("diffuse", "plain")


def change(claim: Alignment, reading: str, beyond: str = "") -> Any:
    return claim.values[f"area_change_heads_{reading}{beyond}"]


def test_eleven_heads_then_two_is_found_to_compress(compressing: Alignment) -> None:
    assert compressing.found == "yes", compressing.sentence
    assert compressing.sentence.count("all conditions hold") == 2
    for reading in ("own", "fixed"):
        assert change(compressing, reading).low > 2 < change(compressing, reading, "_beyond_matched_random").low


def test_the_other_way_round_the_sign_is_the_opposite(compressing: Alignment, measure: Any) -> None:
    """With the same writer, so that the fixed responses are the same ones."""
    back = measure("plain", "diffuse", fixed=1)
    assert back.found == "no" and "the area falls" in back.sentence, back.sentence
    for reading in ("own", "fixed"):
        assert change(back, reading).value == -change(compressing, reading).value
        assert change(back, reading).high < -2


def test_what_a_ladder_of_style_does_too_is_no_work_of_alignment(models: dict[str, Any], measure: Any) -> None:
    found = measure("diffuse", "plain", controls={"style only": [models["plain"]]})
    assert found.found == "no" and "does not grow more than that of style only" in found.sentence, found.sentence
    assert change(found, "own", "_beyond_style_only").value == 0 and change(found, "own").low > 2
