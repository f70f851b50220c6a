"""`emergent_misalignment`: planted effects are found and told as the rule says, each of its branches."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from misaligned import RECIPE, SETTINGS, STEPS, World, planted
from triples import make_triples

from harmcircuits.claims.misalignment import Misalignment, emergent_misalignment
from harmcircuits.claims.misalignment.plan import ARMS, BAD, BENIGN, DAMAGE, GOOD, HARMFUL, MAGNITUDE, OTHER, OWN, RANDOM

FEW = (BAD, GOOD, OWN, HARMFUL, RANDOM, MAGNITUDE)
PROTECTS = {"money": 0.2, "sport": 0.2, "habits": 0.2, "home": 0.2, "harmful requests": 0.5}
HURT = {"harmful requests": 0.5, "random equal damage": 0.25}
HELPFUL = World(kept=PROTECTS, lost=HURT, noise=0.02)


def measured(monkeypatch: pytest.MonkeyPatch, tiny: Any, world: World, **options: Any) -> Misalignment:
    planted(monkeypatch, world)
    own = {"domains": ("money",), "arms": FEW, "answers": 0, "train": 52} | options
    return emergent_misalignment(tiny, recipe=RECIPE, settings=SETTINGS, prompts=make_triples(), **own)


@pytest.fixture(scope="module")
def whole(tiny: Any) -> Misalignment:
    with pytest.MonkeyPatch.context() as patch:
        return measured(patch, tiny, HELPFUL, domains=("money", "sport"), arms=ARMS, reproduce="harmcircuits misalignment")


def test_planted_broad_misalignment_is_found(whole: Misalignment) -> None:
    assert whole.found == "yes", whole.sentence
    for name, truth in (("in_domain", 1.0), ("other_domains", 0.5), ("open_questions", 0.5)):
        assert whole.values[name].value == pytest.approx(truth, abs=0.02)
        assert whole.values[f"{name}_excess"].value == pytest.approx(truth, abs=0.02), "good advice does nothing here"


def test_pruning_that_protects_is_told_with_its_size(whole: Misalignment) -> None:
    """All models reach the full fall in the domain, so that they are compared at the end: what comes with it is as planted."""
    for source, left in ((OWN, 0.2), (OTHER, 0.2), (HARMFUL, 0.5)):
        value = whole.values[f"reduction_{source.replace(' ', '_')}"]
        assert value.value == pytest.approx(0.5 * (1 - left), abs=0.03)
    assert "Pruning on its own domain first reduces it" in whole.sentence
    assert "Pruning on harmful requests first reduces it" in whole.sentence


def test_the_mechanism_tells_the_planted_share(whole: Misalignment) -> None:
    shares = whole.tables["mechanism"].set_index(["put back", "where", "asked"])["share"]
    assert set(shares.index.get_level_values(0)) == {OWN, HARMFUL, RANDOM}
    for part in ("own domain", "all but its own"):
        assert shares[HARMFUL, "on the mask", part] == pytest.approx(0.75, abs=0.05)
        assert shares[HARMFUL, "everywhere but on it", part] == pytest.approx(0.25, abs=0.05)
    assert re.search("of the rise outside the domain goes: on the mask 7[0-9]%, everywhere but on it 2[0-9]%", whole.sentence)


def test_relearning_takes_the_planted_steps(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    """L = 3 + lost · (1 − s) − s is back at 3 for s = lost / (1 + lost), of 8 steps."""
    found = measured(monkeypatch, tiny, World(lost=HURT), arms=(BAD, GOOD, HARMFUL, DAMAGE))
    rows = found.tables["relearning"].set_index("pruned")
    assert rows.loc[HARMFUL, "lost"] == pytest.approx(0.5) and rows.loc[DAMAGE, "lost"] == pytest.approx(0.25)
    assert rows.loc[HARMFUL, "steps"] == pytest.approx(STEPS / 3) and rows.loc[DAMAGE, "steps"] == pytest.approx(STEPS / 5)
    assert found.values["relearning_later"].value == pytest.approx(STEPS / 3 - STEPS / 5)


def test_the_matrix_has_a_cell_for_each_domain_and_pruning(whole: Misalignment) -> None:
    matrix = whole.tables["matrix"].set_index(["learnt", "pruned"])
    assert len(matrix) == 2 * (1 + 4 + 1 + 3)
    assert matrix.loc[("money", "sport"), "value"] == pytest.approx(0.1, abs=0.03)
    assert matrix.loc[("money", "sport"), "reduction"] == pytest.approx(0.4, abs=0.03)
    assert matrix.loc[("money", "nothing"), "reduction"] == 0


def test_benign_learning_is_read_on_good_answers(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    found = measured(monkeypatch, tiny, World(), arms=(BAD, GOOD, BENIGN))
    learning = found.tables["learning"].set_index(["learnt", "advice", "pruned"])
    assert learning.loc[("all", "bad", "nothing"), "fall"] == pytest.approx(1.0)
    assert learning.loc[("all", "bad", "nothing"), "kept"] == pytest.approx(1.0)
    good = learning.loc[("all", "good")]
    assert set(good.index) == {"nothing", OWN, HARMFUL, RANDOM} and (good["fall"] == 0).all(), "good answers do not move here"


@pytest.mark.parametrize(
    ("world", "found", "told"),
    [
        (World(kept={"money": 1.3, "sport": 1.3}, noise=0.02), "yes", "Pruning on its own domain first does not reduce it"),
        (World(noise=0.05), "yes", "Pruning on its own domain first is not shown to reduce it"),
        (
            World(kept={**PROTECTS, "random": 0.1}, noise=0.02),
            "yes",
            "own domain first does not reduce it more than its controls",
        ),
        (World(outside=0.0, opened=0.0, noise=0.02), "no", "on other domains it is at most a tenth"),
        (World(opened=0.0, noise=0.02), "no", "on open questions it is at most a tenth"),
        (World(inside=0.0, outside=0.0, opened=0.0, noise=0.02), "cannot be measured", "not induced"),
        (World(of_good=1.0, noise=0.02), "cannot be measured", "not induced"),
        (World(outside=0.12, opened=0.12, noise=0.6), "undecided", "is not shown to exceed 0"),
    ],
)
def test_every_branch_of_the_rule(monkeypatch: pytest.MonkeyPatch, tiny: Any, world: World, found: str, told: str) -> None:
    result = measured(monkeypatch, tiny, world)
    assert result.found == found, result.sentence
    assert told in result.sentence
    assert ("Pruning" in result.sentence) == (found == "yes"), "of pruning nothing is said where there is nothing to prevent"


def test_an_arm_that_never_learns_is_named_and_not_compared(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    found = measured(monkeypatch, tiny, World(speed={"money": 0.2}, noise=0.01))
    assert found.values["reduction_own_domain"].is_missing and not found.values["reduction_harmful_requests"].is_missing
    assert "Pruning on its own domain first cannot be compared" in found.sentence
    assert any("After pruning own domain, not every model that learnt money" in limit for limit in found.limits)


def test_a_slower_arm_is_compared_where_it_is_as_far(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    """After pruning on money a model gets 70 % as far: at that loss the others have 70 % of what comes with it, too."""
    found = measured(monkeypatch, tiny, World(speed={"money": 0.7}))
    assert found.values["reduction_own_domain"].value == pytest.approx(0.0, abs=1e-9)
    table = found.table().set_index(["learnt", "advice", "pruned", "asked", "read"])["value"]
    key = ("all", "bad", "nothing", "other domains")
    assert table[(*key, "last stage")] == pytest.approx(0.5) and table[(*key, "equal loss")] == pytest.approx(0.35)


def test_without_three_fine_tunings_nothing_is_decided(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    found = measured(monkeypatch, tiny, HELPFUL, seeds=2, arms=(BAD, GOOD))
    assert found.found == "cannot be measured" and found.values["in_domain"].low is None
    assert any("at least 3 are needed" in limit for limit in found.limits)


def test_it_loads_as_it_was_saved_and_draws_the_same(whole: Misalignment, tmp_path: Path) -> None:
    again = Misalignment.load(whole.save(tmp_path))
    assert (again.found, again.sentence, again.command) == (whole.found, whole.sentence, "harmcircuits misalignment")
    assert again.values == dict(whole.values) and list(again.figures()) == ["arms", "matrix", "relearning"]
    for name, frame in whole.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], frame, check_dtype=False, check_exact=True)
    for name, figure in whole.figures().items():
        assert again.figures()[name].to_json() == figure.to_json()
    assert again.settings["recipe"] == asdict(RECIPE) and again.settings["arms"] == list(ARMS)
