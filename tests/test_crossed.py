"""The crossed table, from hand-made outcomes with known drops, and once on a whole run."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import check_report
from hand_made import Arrays, outcomes
from triples import SETTINGS

from harmcircuits.experiments.crossed import (
    EXPLANATION,
    GENERATION,
    RECOGNITION,
    REFUSAL,
    TASKS,
    crossed,
    drops,
)
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.scores import chosen_triples
from harmcircuits.experiments.settings import Settings
from harmcircuits.prompts.readers import load_prompts
from harmcircuits.statistics import fdr, sign_flip_p

N = 40
NAN = math.nan
OPTIONS: dict[str, Any] = {"draws": 200, "seed": 0}
AIMS = {GENERATION: "cut", RECOGNITION: "blind"}


def roles(harmful: float | np.ndarray, near: float | np.ndarray = NAN, far: float = NAN, *, n: int = N) -> np.ndarray:
    return np.stack([np.broadcast_to(np.asarray(value, dtype=float), n) for value in (harmful, near, far)], 1)


def intact(n: int = N) -> Arrays:
    return {
        "nll": roles(2.0, 2.0, 2.0, n=n),
        "in_place": roles(3.0, 1.0, 1.0, n=n),
        "probe": roles(1.0, -1.0, n=n),
        "explain": roles(1.0, n=n),
        "explain_same": roles(1.5, n=n),
        "explain_other": roles(2.5, n=n),
        "refused": roles(1.0, 0.0, n=n),
    }


def fallen(drop: dict[str, np.ndarray | float], n: int = N) -> Arrays:
    """The intact model's readings after each task fell by so much on each triple."""
    by = lambda task: np.broadcast_to(np.asarray(drop.get(task, 0.0)), n)
    before = intact(n)
    return {
        "nll": before["nll"] + roles(by(GENERATION) + 0.7, 0.7, 0.7, n=n),  # twins rise too, and that is not counted
        "in_place": before["in_place"] - roles(by(RECOGNITION) - 5, -5, 0, n=n),
        "probe": before["probe"] - roles(by(RECOGNITION), 0, n=n),
        "explain": before["explain"] + roles(by(EXPLANATION), n=n),
        "explain_same": before["explain_same"],
        "explain_other": before["explain_other"],
        "refused": before["refused"] - roles(by(REFUSAL), 0, n=n),
    }


def noisy(seed: int, **mean: float) -> dict[str, np.ndarray | float]:
    """Drops with a spread of 0.5, each task's with its own noise; `mean` by task, 0 for the others."""
    random = np.random.default_rng(seed)
    return {task: mean.get(task, 0.0) + random.normal(0, 0.5, N) for task in TASKS}


def table(cut: Arrays, blind: Arrays, n: int = N, **options: Any) -> dict[str, Any]:
    return crossed(
        outcomes({"intact": intact(n), "cut": cut, "blind": blind}), AIMS, OPTIONS, **{"primary": "in_place"} | options
    )


def cell(found: dict[str, Any], condition: str, task: str) -> dict[str, Any]:
    (one,) = (one for one in found["cells"] if (one["condition"], one["task"]) == (condition, task))
    return dict(one)


@pytest.mark.parametrize("primary", ["in_place", "probe"])
def test_drops_are_positive_where_a_task_falls_and_leave_out_what_twins_lose(primary: str) -> None:
    values = {task: 0.1 * (at + 1) + np.linspace(-1, 1, N) for at, task in enumerate(TASKS)}
    found = drops(intact(), fallen(values), primary=primary)
    assert tuple(found) == TASKS
    for task in TASKS:
        np.testing.assert_allclose(found[task], values[task], atol=1e-12, err_msg=task)


def test_cells_are_the_mean_drop_its_standardised_effect_and_a_test() -> None:
    drop = noisy(0, generation=0.4)
    found = table(fallen(drop), fallen({}))
    for task in TASKS:
        values = np.asarray(drop[task])
        one = cell(found, "cut", task)
        assert (one["aim"], one["drop"]["n"]) == (GENERATION, N)
        assert one["drop"]["value"] == pytest.approx(values.mean())
        assert one["effect"]["value"] == pytest.approx(values.mean() / values.std(ddof=1))
        assert one["p"]["value"] == sign_flip_p(values).value
    assert cell(found, "cut", GENERATION)["p"]["value"] < 0.01 < 0.05 < cell(found, "cut", EXPLANATION)["p"]["value"]


def test_p_values_are_adjusted_over_all_cells_and_those_not_made_are_not_counted() -> None:
    nothing = roles(NAN)
    after = fallen(noisy(1, generation=0.4, recognition=0.15)) | {"refused": nothing}
    found = table(after, fallen(noisy(2)) | {"refused": nothing})
    assert len(found["cells"]) == 2 * len(TASKS)
    made = [one for one in found["cells"] if one["p"]["value"] is not None]
    assert len(made) == 2 * (len(TASKS) - 1)
    adjusted = fdr(np.array([one["p"]["value"] for one in made]))
    assert [one["p_adjusted"]["value"] for one in made] == pytest.approx(list(adjusted))
    assert any(one["p_adjusted"]["value"] > one["p"]["value"] for one in made)
    for key in ("drop", "effect", "p", "p_adjusted"):
        assert cell(found, "cut", REFUSAL)[key] == {
            "value": None,
            "reason": "refusal was not read on at least 3 triples",
        }


class TestInteractions:
    def test_each_aim_that_hurts_its_own_task_alone(self) -> None:
        found = table(fallen(noisy(3, generation=1.0)), fallen(noisy(4, recognition=1.0)))
        (aims,) = found["interactions"]
        assert (aims["first"], aims["second"]) == ("aimed at generation", "aimed at recognition")
        assert (aims["one"], aims["other"]) == (GENERATION, RECOGNITION)
        assert aims["value"]["value"] == pytest.approx(4.0, abs=1.0), "four differences of 1 / 0.5, of which two are 0"
        assert aims["value"]["low"] > 0
        assert aims["p"]["value"] == pytest.approx(0.001)

    def test_the_very_same_falls_under_both_are_0(self) -> None:
        alike = fallen(noisy(5, generation=1.0, recognition=0.6))
        (aims,) = table(alike, alike)["interactions"]
        assert aims["value"]["value"] == pytest.approx(0)
        assert aims["p"]["value"] == 1

    def test_equal_falls_up_to_chance_are_hardly_ever_shown_to_differ(self) -> None:
        alike = {"generation": 1.0, "recognition": 0.6}
        found = [
            table(fallen(noisy(2 * at, **alike)), fallen(noisy(2 * at + 1, **alike)))["interactions"][0] for at in range(20)
        ]
        assert abs(np.mean([one["value"]["value"] for one in found])) < 0.3
        assert sum(one["p"]["value"] <= 0.05 for one in found) <= 4, "one in twenty is expected, and more than four hardly"

    def test_the_wrong_way_round_is_negative(self) -> None:
        (aims,) = table(fallen(noisy(3, recognition=1.0)), fallen(noisy(4, generation=1.0)))["interactions"]
        assert aims["value"]["high"] < 0
        assert aims["p"]["value"] > 0.9

    def test_all_pairs_of_three_aims(self) -> None:
        three = outcomes({"intact": intact(), **{name: fallen(noisy(at)) for at, name in enumerate(("cut", "blind", "dumb"))}})
        found = crossed(three, AIMS | {EXPLANATION: "dumb"}, OPTIONS, primary="in_place")["interactions"]
        assert [(one["one"], one["other"]) for one in found] == [
            (GENERATION, RECOGNITION),
            (GENERATION, EXPLANATION),
            (RECOGNITION, EXPLANATION),
        ]


class TestMissing:
    def test_no_spread_is_no_effect_and_no_interaction(self) -> None:
        found = table(fallen(dict.fromkeys(TASKS, 0.5)), fallen({}))
        one = cell(found, "cut", GENERATION)
        assert one["drop"]["value"] == pytest.approx(0.5)
        assert "there is no spread to compare with" in one["effect"]["reason"]
        assert one["p"]["value"] is not None
        for interaction in found["interactions"]:
            assert "undefined on the data" in interaction["value"]["reason"]
            assert interaction["p"]["reason"].startswith("the interaction is missing: undefined")

    def test_too_few_triples(self) -> None:
        found = table(fallen({}, n=2), fallen({}, n=2), n=2)
        assert {one["drop"]["value"] for one in found["cells"]} == {None}
        for interaction in found["interactions"]:
            assert interaction["value"]["reason"] == "both tasks were not read on at least 3 triples"

    def test_tasks_are_compared_on_the_triples_of_both(self) -> None:
        """Recognition of the first ten triples: the aims are compared on these."""
        after = fallen(noisy(0, generation=1.0))
        few = np.where(np.arange(N)[:, None] < 10, after["in_place"], NAN)
        found = table({**after, "in_place": few}, fallen(noisy(1)))
        assert cell(found, "cut", RECOGNITION)["drop"]["n"] == 10
        assert cell(found, "cut", GENERATION)["drop"]["n"] == N
        assert [one["value"]["n"] for one in found["interactions"]] == [10]


def test_a_whole_run_aims_at_all_tasks_but_refusal(tiny: Any, tmp_path: Path) -> None:
    """On built-in triples, which have reference explanations."""
    train, development, test = chosen_triples(load_prompts(), 40, seed=1).split(seed=0)
    sizes: dict[str, Any] = {"test_triples": 8, "explained_triples": 8, "aim_triples": 6, "many_shot_triples": 8, "facts": 0}
    settings = Settings(**vars(SETTINGS) | sizes | {"passages": 0, "everyday": 0, "null_draws": 0, "written_triples": 8})
    found = dissociate(tiny, None, test, train=train, development=development, settings=settings, crossed=True)
    check_report(found.report)
    aims = found.report["crossed"]["aims"]
    assert aims == {
        GENERATION: "heads and neurons",
        RECOGNITION: "aimed at recognition",
        EXPLANATION: "aimed at explanation",
    }
    size = {name: (len(own.heads), len(own.neurons)) for name, own in {**found.circuits, **found.controls}.items()}
    assert {size[name] for name in aims.values()} == {(2, 3)}, "the same recipe and counts"
    assert not any("refusal" in name for name in size), "refusal is measured, never aimed at"
    assert "aimed at explanation" not in [condition["name"] for condition in found.report["conditions"]]
    rows = {(one["condition"], one["task"]): one for one in found.report["crossed"]["cells"]}
    assert set(rows) == {(name, task) for name in (*aims.values(), "aimed at twins", "matched random") for task in TASKS}
    unread = {key: one["drop"]["reason"] for key, one in rows.items() if one["drop"]["value"] is None}
    assert {task for _, task in unread} <= {REFUSAL}, "every task was read"
    assert all("not one answer changed" in reason for reason in unread.values()), "and a model that never declines is no 0"
    found.save(tmp_path)
    assert "crossed" in found.figures()
    assert (tmp_path / "report.html").exists()
