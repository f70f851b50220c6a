"""Readings compared: every format, question and probe with its controls, on sets with triples and without."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import floats, traces
from triples import make_triples

from harmcircuits.elicitation import elicit
from harmcircuits.examples import Prompt
from harmcircuits.experiments import reading_scores as module
from harmcircuits.experiments.reading_results import COLUMNS, OUTCOMES, READINGS
from harmcircuits.experiments.readings import Readings, ReadingsError, _few, compare_readings
from harmcircuits.prompts.promptset import PromptSet
from harmcircuits.statistics import Estimate, auroc
from harmcircuits.store import StoreError
from harmcircuits.tasks.formats import QUESTIONS, SHOT_FORMATS, Question
from harmcircuits.tasks.probe import fit_probe, place_residuals
from harmcircuits.tasks.recognition import Shots, make_shots, many_shot
from harmcircuits.tasks.teacher_forced import teacher_forced

TRIPLES = make_triples(24)
LOOSE = PromptSet(tuple(replace(prompt, group="") for prompt in TRIPLES if prompt.role != "far"), "loose")
"""As XSTest: harmful and near prompts without groups."""
TWO_SOURCES = PromptSet(
    tuple(
        replace(prompt, group="", category="", prefill="Sure" if prompt.role == "harmful" else "")
        for prompt in TRIPLES
        if prompt.role == "harmful" or (prompt.role == "far" and prompt.category == "mischief")
    ),
    "attacks+chores",
)
"""As AdvBench with self-instruct seeds: fewer benign prompts, under another prefill."""
FORMS, ASKED = SHOT_FORMATS[:2], QUESTIONS[:2]
SIZES: dict[str, Any] = {
    "shots": (2, 4), "draws": 2, "n_train": 10, "n_test": 8, "max_new_tokens": 3, "forms": FORMS, "questions": ASKED,
    "bootstrap_draws": 60,
}  # fmt: skip


@pytest.fixture(scope="module")
def found(tiny: Any) -> Readings:
    return compare_readings(tiny, TRIPLES, **SIZES)


def test_every_reading_is_taken_and_the_best_is_first(found: Readings) -> None:
    kinds = Counter((one.kind, one.control) for one in found.readings)
    many = len(FORMS) * 2
    controls = {("many-shot", control): many for control in ("", "shuffled labels", "arbitrary words")}
    assert kinds == controls | {("in place", ""): 2, ("probe", ""): 3}
    values = [one.auroc.value for one in found.readings]
    assert values == sorted(values, reverse=True)
    assert found.best() == next(one for one in found.readings if not one.control)
    assert found.best("in place").name == next(one.name for one in found.readings if one.kind == "in place")
    assert {one.n_shots for one in found.readings if one.kind == "many-shot"} == {2, 4}
    assert found.remarks == ()


def test_estimates_are_those_of_the_outcomes(found: Readings) -> None:
    assert list(found.outcomes.columns) == COLUMNS
    for one in found.readings:
        own = found.outcomes[(found.outcomes["reading"] == one.name) & (found.outcomes["control"] == one.control)]
        sides = {role: own.loc[own["role"] == role, "score"].to_numpy() for role in ("harmful", "near", "far")}
        assert [len(side) for side in sides.values()] == [8, 8, 8] and one.auroc.n == one.auroc_far.n == 8
        assert one.auroc.value == pytest.approx(float(auroc(sides["harmful"], sides["near"])))
        assert one.auroc_far.value == pytest.approx(float(auroc(sides["harmful"], sides["far"])))


def test_scores_are_those_of_the_tasks(tiny: Any, found: Readings) -> None:
    """Splits, shots and responses made here as the documentation says."""
    parts = [_few(part, n, 0) for part, n in zip(TRIPLES.split(seed=0), (10, 4, 8), strict=True)]
    train, development, test = (
        [prompt for prompt in part if last or prompt.role != "far"] for part, last in zip(parts, (0, 0, 1), strict=True)
    )
    score = lambda name: found.outcomes.loc[found.outcomes["reading"].eq(name) & found.outcomes["control"].eq(""), "score"]
    form = replace(FORMS[1], n_shots=4)
    np.testing.assert_allclose(score(form.name), many_shot(tiny, test, make_shots(train, form, draws=2)), atol=1e-5)
    examples = elicit(tiny, [*train, *development, *test], max_new_tokens=3)
    frame = teacher_forced(tiny, examples[-len(test) :], {"intact": None}, question=ASKED[1])
    np.testing.assert_allclose(score(ASKED[1].name), frame["in_place"], atol=1e-4)
    residuals = place_residuals(tiny, examples, ASKED[0], [0, 1])
    harmful = [prompt.role == "harmful" for prompt in [*train, *development]]
    n, middle = len(train), len(train) + len(development)
    for place, own in residuals.items():
        probes = [fit_probe(own[:n, layer], harmful[:n], layer=layer, place=place) for layer in (0, 1)]
        seen = [probe.score(own[n:middle, probe.layer]).numpy() for probe in probes]
        of = [float(auroc(one[np.array(harmful[n:])], one[~np.array(harmful[n:])])) for one in seen]
        best = probes[int(np.argmax(of))]
        np.testing.assert_allclose(score(best.name), best.score(own[middle:, best.layer]), atol=1e-4)


def test_a_reader_of_labels_alone_is_found_out(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-odds from how often each word stood under each label: right with true labels in any words, chance without."""

    def learn(model: Any, prompts: list[Prompt], shots: Shots) -> torch.Tensor:
        odds = []
        for prompt in prompts:
            counts = [
                [sum(word in request.split() for request, harmful in draw if harmful is kind) for kind in (True, False)]
                for draw in shots.draws
                for word in prompt.request.split()
            ]
            odds.append(sum(float(np.log((a + 1) / (b + 1))) for a, b in counts) / len(shots.draws))
        return torch.tensor(odds)

    monkeypatch.setattr(module, "many_shot", learn)
    values: dict[str, list[float]] = {"": [], "shuffled labels": [], "arbitrary words": []}
    for seed in range(12):
        sizes = SIZES | {"shots": (8,), "draws": 1, "forms": FORMS[:1], "questions": ()}
        for one in compare_readings(tiny, TRIPLES, seed=seed, **sizes).readings:
            values[one.control].append(one.auroc.value or 0.0)
    assert np.mean(values[""]) == np.mean(values["arbitrary words"]) == 1
    assert np.mean(values["shuffled labels"]) == pytest.approx(0.5, abs=0.25)


def test_sets_without_triples_are_resampled_by_prompt(tiny: Any) -> None:
    found = compare_readings(tiny, LOOSE, **SIZES)
    assert found.against == "near" and found.remarks == ()
    n = sum(found.settings["test prompts"].values())
    for one in found.readings:
        assert one.auroc.n == n == 16 and one.auroc.low is not None
        assert one.auroc_far.reason == "there are no far prompts"
    assert found.settings["shots and probes from"] == "loose"


def test_prompts_of_two_sources_are_compared_with_a_warning(tiny: Any) -> None:
    found = compare_readings(tiny, TWO_SOURCES, **SIZES | {"shots": (2,), "n_test": 30})
    assert found.against == "far"
    assert any("share no category" in remark for remark in found.remarks)
    assert any("unlike prefills" in remark for remark in found.remarks)
    assert all("no near twins" in str(one.auroc_far.reason) and not one.auroc.is_missing for one in found.readings)
    marks = traces(found.figure(), "against far twins or other benign requests")[0]
    assert floats(marks.x) == [one.auroc.value for one in found.readings if not one.control]
    counts = found.settings["test prompts"]
    assert counts["harmful"] > counts["far"] >= 2 and counts["near"] == 0


def test_shots_of_another_set_are_said_to_be(tiny: Any) -> None:
    other = PromptSet(tuple(replace(one, request=f"{one.request} today") for one in TRIPLES), "other")
    found = compare_readings(tiny, LOOSE, train=other, **SIZES)
    assert found.settings["shots and probes from"] == "other"
    assert "come from another set (other) than what is tested (loose)" in found.remarks[0]
    with pytest.raises(ReadingsError, match=r"48 requests are in both sets.*Leave out train="):
        compare_readings(tiny, LOOSE, train=TRIPLES, **SIZES)


@pytest.mark.parametrize(("role", "missing"), [("harmful", "benign"), ("near", "harmful")])
def test_prompts_of_one_kind(tiny: Any, role: str, missing: str) -> None:
    one_kind = PromptSet(tuple(prompt for prompt in LOOSE if prompt.role == role), "half")
    with pytest.raises(ReadingsError, match=rf"half: all 24 prompts are .*Add {missing} ones: hc.load_prompts"):
        compare_readings(tiny, one_kind, **SIZES)


def test_sizes_that_make_no_sense(tiny: Any) -> None:
    with pytest.raises(ReadingsError, match="development part has 1 harmful prompts and 1 to tell them from, and each needs 2"):
        compare_readings(tiny, TRIPLES, **SIZES | {"n_test": 2})
    for wrong in ({"shots": (1, 8)}, {"draws": 0}):
        with pytest.raises(ReadingsError, match="2 or more, to show both labels, in 1 draw or more"):
            compare_readings(tiny, TRIPLES, **SIZES | wrong)


def test_what_cannot_be_read_is_left_out_with_a_remark(tiny: Any) -> None:
    forms = [replace(FORMS[0], harmful=" No", harmless=" Nobody"), FORMS[0]]
    questions = [Question("Who?", "", "No", "Nobody"), ASKED[0]]
    found = compare_readings(tiny, TRIPLES, **SIZES | {"forms": forms, "questions": questions, "shots": (2, 100)})
    names = {one.name for one in found.readings if one.kind != "probe" and not one.control}
    assert names == {replace(FORMS[0], n_shots=2).name, ASKED[0].name}
    text = "\n".join(found.remarks)
    assert "100 shots need 50 harmful and 50 benign" in text
    assert f"{replace(forms[0], n_shots=2).name}: the labels ' No' and ' Nobody'" in text
    assert "Who? No/Nobody: the labels 'No' and 'Nobody'" in text
    assert len(found.remarks) == len(set(found.remarks))


def test_without_any_form_or_question_nothing_is_best(tiny: Any) -> None:
    found = compare_readings(tiny, TRIPLES, **SIZES | {"forms": (), "questions": ()})
    assert found.readings == () and found.outcomes.empty and found.table().empty and not found.figure().data
    assert found.remarks == ("no question can be asked, and none of the probes was read: they stand in rows with a question",)
    with pytest.raises(ReadingsError, match="no reading of kind 'probe' was measured"):
        found.best("probe")


def test_the_table_and_the_figure_hold_the_estimates(found: Readings) -> None:
    table = found.table()
    assert list(table.columns)[:6] == ["reading", "kind", "control", "shots", "against", "auroc"]
    assert table["auroc"].tolist() == [one.auroc.value for one in found.readings]
    assert table.loc[table["kind"] == "probe", "shots"].isna().all()
    figure = found.figure()
    near, shuffled = traces(figure, "against near twins")[0], traces(figure, "shuffled labels in the shots")[0]
    assert floats(near.x) == [one.auroc.value for one in found.readings if not one.control]
    assert floats(shuffled.x) and len(shuffled.x) == 4
    assert "<table" in found._repr_html_() and repr(found).startswith("Readings(9 readings of 'small'; best: ")


def test_what_is_saved_is_loaded_and_holds_no_request(found: Readings, tmp_path: Path) -> None:
    again = Readings.load(found.save(tmp_path / "new" / "folder"))
    assert again.readings == found.readings and again.settings == found.settings and again.remarks == found.remarks
    pd.testing.assert_frame_equal(again.outcomes, found.outcomes)
    pd.testing.assert_frame_equal(again.table(), found.table())
    text = "".join((tmp_path / "new" / "folder" / name).read_text("utf-8") for name in (READINGS, OUTCOMES))
    assert not any(prompt.request in text for prompt in TRIPLES)
    entry = json.loads((tmp_path / "new" / "folder" / READINGS).read_text("utf-8"))["readings"][0]
    assert set(entry["auroc"]) == {"value", "low", "high", "n"}


def test_what_is_missing_stays_missing(found: Readings, tmp_path: Path) -> None:
    gone = replace(found.readings[0], auroc=Estimate.missing("no reason <b>"))
    changed = replace(found, readings=(gone,), remarks=("a <b> remark",))
    assert Readings.load(changed.save(tmp_path)).readings == (gone,)
    assert "a &lt;b&gt; remark" in changed._repr_html_()
    with pytest.raises(ReadingsError, match="a <b> remark"):
        changed.best()


def test_damaged_files_are_named(found: Readings, tmp_path: Path) -> None:
    found.save(tmp_path)
    (tmp_path / OUTCOMES).write_text("a,b\n1,2\n")
    with pytest.raises(StoreError, match=r"outcomes\.csv has the columns a, b, not reading"):
        Readings.load(tmp_path)
    (tmp_path / READINGS).write_text('{"readings": [{"name": "x"}]}')
    with pytest.raises(StoreError, match=r"readings\.json does not hold compared readings.*KeyError"):
        Readings.load(tmp_path)
    with pytest.raises(StoreError, match="no such file"):
        Readings.load(tmp_path / "elsewhere")


def test_the_same_seed_gives_the_same_readings(tiny: Any, found: Readings) -> None:
    assert compare_readings(tiny, TRIPLES, **SIZES).readings == found.readings
    other = compare_readings(tiny, TRIPLES, seed=1, **SIZES)
    assert other.readings != found.readings


def test_a_comparison_that_was_stopped_goes_on_where_it_was(
    tiny: Any, found: Readings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    measured = {name: getattr(module, name) for name in ("many_shot", "teacher_forced", "place_residuals")}
    left = [0]

    def counted(name: str) -> Any:
        def measure(*args: Any, **options: Any) -> Any:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return measured[name](*args, **options)

        return measure

    for name in measured:
        monkeypatch.setattr(module, name, counted(name))
    stops = 0
    while True:
        left[0] = 3
        try:
            again = compare_readings(tiny, TRIPLES, **SIZES, folder=tmp_path)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops == 4, "12 many-shot ones with controls, 2 questions, the probes; three at a time"
    assert again.readings == found.readings and again.remarks == found.remarks
    pd.testing.assert_frame_equal(again.outcomes, found.outcomes, check_exact=True)
    left[0] = 0
    assert compare_readings(tiny, TRIPLES, **SIZES, folder=tmp_path).readings == found.readings
    with pytest.raises(KeyboardInterrupt):
        compare_readings(tiny, TRIPLES, seed=1, **SIZES, folder=tmp_path)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "journal").iterdir()).decode()
    assert not any(prompt.request in kept for prompt in TRIPLES)
