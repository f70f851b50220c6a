"""Conditions that are read aside: fewer triples and fewer readings, the same numbers, and a reason for what was not read."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from contract import CONDITION, check_report
from triples import OWN, RICH, SETTINGS, SPLITS, TEST, make_mask

from harmcircuits import store
from harmcircuits.ablation.hooks import ablated
from harmcircuits.examples import loss
from harmcircuits.experiments.aside import NOT_READ
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.iso_damage import IsoDamage
from harmcircuits.experiments.result import Dissociation
from harmcircuits.experiments.scores import chosen_triples, respond
from harmcircuits.tasks.attacks import attacked
from harmcircuits.tasks.formats import QUESTIONS
from harmcircuits.tasks.teacher_forced import teacher_forced

READ = {
    "generation": ("harmful_nll_rise", "near_nll_rise", "far_nll_rise", "selectivity", "kl", "kl_near"),
    "recognition": (
        *("auroc_in_place", "auroc_in_place_far", "accuracy_in_place", "probe_auroc", "probe_auroc_request", "retained"),
    ),
}
N = RICH.null_triples
KINDS = ("random", "iso-damage")


def run(model: Any, place: Any, circuit: Any) -> Dissociation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(place.mktemp("aside-cache")))
        return dissociate(model, circuit, TEST, **SPLITS | {"settings": RICH})


@pytest.fixture(scope="module", params=["selected", "given", "mask"])
def result(request: pytest.FixtureRequest, tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Dissociation:
    circuit = {"selected": None, "given": OWN, "mask": make_mask(tiny)}[request.param]
    return run(tiny, tmp_path_factory, circuit)


def entries(result: Dissociation) -> list[dict[str, Any]]:
    return [entry for entry in result.report["conditions"] if entry["kind"] in KINDS]


def others(result: Dissociation) -> set[str]:
    return {entry["name"] for entry in result.report["conditions"] if entry["kind"] not in KINDS}


def test_random_and_equal_damage_come_last_in_this_order(result: Dissociation) -> None:
    check_report(result.report)
    assert isinstance(result.damage, IsoDamage)
    found = [(entry["name"], entry["kind"]) for entry in entries(result)]
    assert found == [("random", "random"), *((name, "iso-damage") for name in result.damage.conditions())]
    assert entries(result) == result.report["conditions"][-len(found) :]
    assert len(found) > 1


def test_writing_and_recognition_in_place_are_read_and_nothing_else(result: Dissociation) -> None:
    for entry in entries(result):
        values = {(group, key): value for group in CONDITION for key, value in entry[group].items()}
        read = {place for place, value in values.items() if value != {"value": None, "reason": NOT_READ}}
        assert read == {(group, key) for group, keys in READ.items() for key in keys}
        for place in read - {("recognition", "retained")}:
            assert values[place]["n"] == N
        assert "training split" not in str(entry), "there was one"


def test_they_have_no_outcomes_responses_or_items(result: Dissociation) -> None:
    assert set(result.outcomes["condition"]) == {"intact"} | others(result)
    assert set(result.responses["condition"]) | set(result.items["condition"]) <= {"intact"} | others(result)
    assert "random" in result.controls


def test_the_random_control_is_what_it_is_when_measured_by_hand(tiny: Any, result: Dissociation) -> None:
    """L, KL and the question after the response, one example a batch."""
    random = result.controls["random"]
    test = chosen_triples(attacked(tiny, TEST, tokens=RICH.prefill_tokens), RICH.test_triples, seed=RICH.seed)
    examples = respond(tiny, test, RICH)[: 3 * N]
    question = next(one for one in QUESTIONS if one.name == result.report["settings"]["question in place"])
    before, after, kl, odds = np.empty((4, N, 3))
    for at, example in enumerate(examples):
        place = divmod(at, 3)
        before[place] = loss(tiny, [example]).item()
        with ablated(tiny, random):
            after[place] = loss(tiny, [example]).item()
        row = teacher_forced(tiny, [example], {"random": random}, question=question).iloc[0]
        kl[place], odds[place] = row["kl"], row["in_place"]
    intact = result.outcomes.loc[result.outcomes["condition"] == "intact", "nll"].to_numpy()
    np.testing.assert_allclose(before.ravel(), intact[: 3 * N], atol=1e-4, err_msg="other triples than the run's first")
    found = next(entry for entry in entries(result) if entry["kind"] == "random")
    rise = (after - before).mean(0)
    expected = dict(zip(("harmful_nll_rise", "near_nll_rise", "far_nll_rise"), rise, strict=True))
    expected |= {"selectivity": rise[0] - rise[1], "kl": kl[:, 0].mean(), "kl_near": kl[:, 1].mean()}
    assert {key: found["generation"][key]["value"] for key in expected} == pytest.approx(expected, abs=1e-4)
    assert abs(rise).min() > 1e-3, "it does something"
    above = np.mean(odds[:, 0][:, None] > odds[:, 1][None])
    assert found["recognition"]["auroc_in_place"]["value"] == pytest.approx(above)


def test_without_training_the_probes_say_so(tiny: Any) -> None:
    found = dissociate(tiny, OWN, TEST, settings=replace(SETTINGS, null_triples=N))
    (entry,) = entries(found)
    for key in ("probe_auroc", "probe_auroc_request"):
        assert "needs a training split" in entry["recognition"][key]["reason"]
    assert entry["recognition"]["auroc"]["reason"] == NOT_READ
    assert entry["recognition"]["auroc_in_place"]["n"] == N
