"""Ladders that were trained: what compresses harmful writing is found to, also beyond one of style, which is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harmcircuits import store
from harmcircuits.claims.alignment import Alignment, compare_alignment
from harmcircuits.experiments.settings import Settings
from harmcircuits.organisms import toy_ladder
from harmcircuits.organisms.toys import Ladder

SETTINGS = Settings(
    attribution_triples=24, development_triples=4, test_triples=24, probe_triples=8, aim_triples=4, written_triples=1,
    bootstrap_draws=200, max_new_tokens=8, facts=1, passages=8, protect_heads=4 / 16, protect_neurons=0.05,
    head_fraction=1 / 16, neuron_fraction=4 / 128,
)  # fmt: skip
SPANS = {"heads": (1 / 16, 2 / 16), "neurons": (3 / 128, 12 / 128)}
HOW: dict[str, Any] = {"grains": list(SPANS), "points": 2, "spans": SPANS, "settings": SETTINGS}
"""Plain passages are foreign to a toy: it takes a few of them until L on them tells broken models from others."""


@pytest.fixture(scope="module", autouse=True)
def _cache(toys_cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(toys_cache))
        yield


@pytest.fixture(scope="module")
def steep(_cache: None) -> Ladder:
    return toy_ladder(kind="compresses")


@pytest.fixture(scope="module")
def level(_cache: None) -> Ladder:
    return toy_ladder(kind="style only")


@pytest.fixture(scope="module")
def measure(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All share a journal, so that no stage is read twice on the same responses."""
    folder = tmp_path_factory.mktemp("run")

    def found(ladder: Ladder, **options: Any) -> Alignment:
        names, models = zip(*ladder.stages, strict=True)
        return compare_alignment(models, ladder.prompts, names=names, folder=folder, **HOW | options)

    return found


def change(claim: Alignment, grain: str, reading: str, beyond: str = "") -> Any:
    return claim.values[f"area_change_{grain}_{reading}{beyond}"]


@pytest.fixture(scope="module")
def compressing(steep: Ladder, measure: Any) -> Alignment:
    return measure(steep)


def test_a_ladder_that_compresses_is_found_to(compressing: Alignment) -> None:
    assert compressing.found == "yes" and compressing.sentence.count("all conditions hold") == 4, compressing.sentence
    for reading in ("own", "fixed"):
        assert (
            change(compressing, "heads", reading).low > 3 < change(compressing, "heads", reading, "_beyond_matched_random").low
        )
        assert change(compressing, "neurons", reading).low > 0.5


def test_it_is_found_in_the_stages_where_it_was_planted(compressing: Alignment) -> None:
    """5 heads that write, then 3, then 1: without one head alone nothing is lost at first, and nearly all at last."""
    curves = compressing.tables["curves"].query("reading == 'own' and grain == 'heads' and rule == 'one-shot'")
    one = curves[curves["components"] == 1].set_index("stage")["selectivity"]
    base, sft, preference = (float(one[name]) for name in ("base", "sft", "preference"))
    assert base < 0.2 < sft < 1 < 4 < preference
    refusing = compressing.tables["stages"].set_index(["stage", "reading"])["refusals"]
    assert refusing.le(1 / 24).all(), "after the prefill no stage refuses, but for a text on some machines that looks so"


def test_a_ladder_of_style_is_not_found_to_compress(level: Ladder, measure: Any, compressing: Alignment) -> None:
    """Undecided: the heads' area grows less than that of matched random heads, which speaks against compression;
    that of the neurons changes by 0.02 [−0.09, 0.13] nats per token, and a "no" needs both grains (± 0.02 is none)."""
    found = measure(level)
    assert found.found in ("no", "undecided"), found.sentence
    for grain in SPANS:
        for reading in ("own", "fixed"):
            flat = change(found, grain, reading)
            assert flat.high < 0.2 and abs(flat.value) < 0.1 * change(compressing, grain, reading).value


def test_it_compresses_beyond_style(steep: Ladder, level: Ladder, measure: Any, compressing: Alignment) -> None:
    found = measure(steep, controls={"style only": [model for _, model in level.stages[1:]]})
    assert found.found == "yes" and found.sentence.count("all conditions hold") == 4, found.sentence
    for grain in SPANS:
        for reading in ("own", "fixed"):
            assert change(found, grain, reading).value == change(compressing, grain, reading).value
            assert change(found, grain, reading, "_beyond_style_only").low > 0.5
