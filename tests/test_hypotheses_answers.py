"""What tests of circuits say of given measurements, what is refused, and what comes back from disk."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import tiny_tokenizer
from triples import make_triples

from harmcircuits import figures
from harmcircuits.attribution.scores import Attribution
from harmcircuits.components import Circuit, CircuitError, WeightMask, outgoing
from harmcircuits.examples import Example
from harmcircuits.experiments import hypotheses
from harmcircuits.experiments.checks import ExperimentError
from harmcircuits.experiments.hypotheses_answers import Finding, findings
from harmcircuits.experiments.hypotheses_components import COLUMNS, MEASURES
from harmcircuits.experiments.hypotheses_results import FILE, CircuitTests
from harmcircuits.experiments.scores import Scores
from harmcircuits.figures import FigureError
from harmcircuits.store import StoreError

SMALL: dict[str, Any] = {"triples": 2, "draws": 3, "added": 5, "neurons": 2}
OWN = Circuit(heads=[(0, 1)], neurons=[(0, 3), (1, 7), (1, 40)])
ABOUT = {"heads": 2, "neurons": 30, "weights": 0, "triples": 24, "margin": 0.1, "seed": 0}
NOISE = np.random.default_rng(0).normal(size=(24, 2))
NOISE -= NOISE.mean(0)


def small_examples(n: int = 4, *, categories: tuple[str, ...] = ("vandalism", "mischief")) -> list[Example]:
    """Whole triples with responses of unequal lengths, for the tiny model."""
    tokenizer, prompts = tiny_tokenizer(), make_triples(n, categories=categories).prompts
    answers = [f" {word} it slowly, then rest" for word in ("bend", "sand and oil", "carry", "paint")] * len(prompts)
    ids = [tuple(tokenizer(answer, add_special_tokens=False).input_ids) for answer in answers]
    return [Example(**vars(one), response=answers[at], response_ids=ids[at]) for at, one in enumerate(prompts)]


def said(
    *,
    intact: float = 2.0,
    changed: float = 1.0,
    spread: float = 0.1,
    n: int = 24,
    components: pd.DataFrame | str = "a mask",
    as_much: tuple[float, ...] = (0.0, 0.1, 0.6),
    p: tuple[float | None, ...] = (0.025, 0.075, 0.9),
) -> dict[tuple[str, str], Finding]:
    """Findings of made-up measurements, by test and measure. The circuit's rise is 0.5, its selectivity 0.25."""
    information = np.stack([intact + spread * NOISE[:n], changed + spread * NOISE[:n, ::-1]])
    own = np.tile([0.5, 0.25], (8, 1)) + 0.01 * NOISE[:8]
    rows = [
        {"multiple": 2**at, "measure": measure, "draws": 39, "value": 0.1, "low": 0.0, "high": 0.2, "as_much": share, "p": one}
        | {"reason": None if one else "fewer than 39 draws: 3"}
        for at, (share, one) in enumerate(zip(as_much, p, strict=True))
        for measure in ("rise", "selectivity")
    ]
    return {(one.test, one.measure): one for one in findings(information, components, own, pd.DataFrame(rows), ABOUT)}


# answers


def test_independence_never_says_gone_of_what_is_not_shown():
    harm = ("independence", "harmful")
    assert said()[harm].answer == "harm writing remains"
    assert said(changed=0.05, spread=0.05)[harm].answer == "harm writing remains, within ±0.1 nats per token of 0"
    assert said(changed=0.0, spread=0.05)[harm].answer == "harm writing is gone: within ±0.1 nats per token of 0"
    unsure = said(changed=0.0, spread=2.0)[harm]
    assert unsure.p.value > 0.05 and "not shown to remain, nor to be gone" in unsure.answer
    empty = said(intact=0.02, changed=0.0, spread=0.03)[harm].answer
    assert empty.startswith("harm writing is not shown to remain, nor to be gone: the intact model's own I, ")
    assert empty.endswith("is not above the margin")
    few = said(n=4)[harm]
    assert few.p.is_missing and few.p_adjusted is None
    assert few.answer == "cannot be tested: fewer than 5 triples: with 4, no pattern of signs is rare enough"


def test_what_is_retained():
    kept = ("independence", "retained")
    assert said()[kept].answer == "no difference is shown" and said()[kept].control.startswith("near twins: 0.500 [")
    nothing = said(intact=0.0)[kept]
    assert nothing.estimate.is_missing and "no ratio for harmful: the denominator" in nothing.answer


def test_p_values_are_adjusted_over_the_tests_of_one_circuit():
    found = said()
    with_p = [one for one in found.values() if not one.p.is_missing]
    assert len(with_p) == 4 and all(one.p.value <= one.p_adjusted <= 4 * one.p.value for one in with_p)
    assert all(one.p_adjusted is None for one in found.values() if one.p.is_missing)
    assert found["sufficiency", "rise"].p_adjusted == pytest.approx(0.025)
    assert all(one.answer for one in found.values())


def test_sufficiency_names_the_size_that_does_as_much():
    rise = said()["sufficiency", "rise"]
    assert rise.answer == (
        "does more than random ones of its size; not told apart from random ones of 2 times its size; "
        "half of the random ones of 4 times its size do as much"
    )
    assert said(as_much=(0.0, 0.1, 0.2))["sufficiency", "rise"].answer.endswith("of no size up to 4 times its own do as much")
    weak = said(p=(0.5, 0.6, 0.9))["sufficiency", "rise"].answer
    assert weak.startswith("not shown to do more than random ones of its size; half of the random ones")
    few = said(p=(None, None, None))["sufficiency", "rise"]
    assert few.p_adjusted is None and few.answer.startswith("cannot be tested: fewer than 39 draws: 3; ")


def test_minimality_counts_what_is_shown():
    frame = pd.DataFrame({"kind": ["heads", *["neurons"] * 5], "n_null": 50, "reason": None}, columns=COLUMNS)
    for measure in MEASURES:
        frame[f"{measure}_p_adjusted"] = [np.nan, 0.01, 0.02, 0.05, 0.06, 1.0]
    frame.loc[0, "reason"] = "fewer than 39 random heads to compare with: 7"
    one = said(components=frame)["minimality", "effect"]
    assert (one.estimate.value, one.estimate.n) == (pytest.approx(3 / 5), 5) and one.estimate.low < 0.6 < one.estimate.high
    assert one.answer == (
        "2 of 5 are not shown to matter more (tested: 1 of 2 heads, 5 of 30 neurons; 1 without a p-value: "
        "fewer than 39 random heads to compare with: 7)"
    )
    none = said(components=frame[:1])["minimality", "effect"]
    assert none.estimate.reason == "fewer than 39 random heads to compare with: 7" and none.answer.startswith(
        "cannot be tested"
    )


# a whole run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    from tiny import tiny_bridge

    model = tiny_bridge(tmp_path_factory.mktemp("tiny"))
    run = lambda circuit, **more: hypotheses.test_circuit(model, circuit, small_examples(), **(SMALL | more))
    return model, run(OWN), run(outgoing(model, OWN), draws=2)


def test_the_table(whole):
    table = whole[1].table()
    assert table["test"].tolist() == ["independence"] * 3 + ["minimality"] * 3 + ["sufficiency"] * 2
    assert (table["answer"].str.len() > 5).all() and (table["reason"].notna() | table["p"].notna()).all()
    assert table["n"].tolist() == [4, 4, 0, 0, 0, 0, 2, 2] and whole[1].about["triples_of_few"] == 2
    assert len(whole[1].components) == 3, "one head and at most two neurons"
    html = whole[1]._repr_html_()
    assert "1 heads, 3 neurons" in html and html.count("<tr>") == 8
    assert repr(whole[1]) == "CircuitTests(1 heads, 3 neurons, 4 triples: 8 findings)"


def test_a_mask_has_no_components(whole):
    model, _, of_mask = whole
    asked = [one for one in of_mask.findings if one.test == "minimality"]
    assert all("no components to leave out one by one" in one.answer and one.estimate.is_missing for one in asked)
    assert of_mask.components.empty and list(of_mask.components) == COLUMNS
    assert of_mask.sufficiency["weights"].min() == len(outgoing(model, OWN)) == of_mask.about["weights"]
    rises = [next(one for one in tests.findings if one.measure == "rise").estimate.value for tests in whole[1:]]
    assert rises[0] == pytest.approx(rises[1], abs=1e-4), "the mask of all that reads the circuit is the same ablation"


def test_what_is_saved_comes_back(whole, tmp_path):
    for at, tests in enumerate(whole[1:]):
        tests.save(tmp_path / str(at))
        again = CircuitTests.load(tmp_path / str(at))
        assert again.findings == tests.findings and dict(again.about) == dict(tests.about)
        for name in ("components", "sufficiency"):
            pd.testing.assert_frame_equal(getattr(again, name), getattr(tests, name))
        pd.testing.assert_frame_equal(again.table(), tests.table())
        assert again.figure().to_json() == tests.figure().to_json()


def test_files_that_hold_something_else(whole, tmp_path):
    with pytest.raises(StoreError, match="there is no such file"):
        CircuitTests.load(tmp_path)
    whole[1].save(tmp_path)
    value = json.loads((tmp_path / FILE).read_text())
    for wrong, message in (
        (value | {"format": "x"}, "holds no tests of a circuit"),
        ({"format": value["format"]}, "was changed"),
    ):
        (tmp_path / FILE).write_text(json.dumps(wrong))
        with pytest.raises(StoreError, match=message):
            CircuitTests.load(tmp_path)


def test_the_same_seed_gives_the_same(whole):
    model, first, _ = whole
    again, other = (hypotheses.test_circuit(model, OWN, small_examples(), seed=seed, **SMALL) for seed in (0, 1))
    assert again.findings == first.findings and again.sufficiency.equals(first.sufficiency)
    assert not other.sufficiency.equals(first.sufficiency)


@pytest.mark.parametrize("mask", [False, True])
def test_tests_that_were_stopped_go_on_where_they_were(whole, mask, tmp_path, monkeypatch):
    model, of_circuit, of_mask = whole
    circuit, sizes, unbroken = (outgoing(model, OWN), SMALL | {"draws": 2}, of_mask) if mask else (OWN, SMALL, of_circuit)
    parts = ["request_information", "sufficiency"] if mask else ["request_information", "minimality", "sufficiency"]
    for part in reversed(parts):
        with monkeypatch.context() as patch:
            patch.setattr(hypotheses, part, stopped)
            with pytest.raises(KeyboardInterrupt):
                hypotheses.test_circuit(model, circuit, small_examples(), **sizes, folder=tmp_path / part)
    folder = tmp_path / parts[-1]
    with monkeypatch.context() as patch:  # what was finished there is not measured again
        for part in parts[:-1]:
            patch.setattr(hypotheses, part, stopped)
        found = hypotheses.test_circuit(model, circuit, small_examples(), **sizes, folder=folder)
    with monkeypatch.context() as patch:
        for part in parts:
            patch.setattr(hypotheses, part, stopped)
        again = hypotheses.test_circuit(model, circuit, small_examples(), **sizes, folder=folder)
        for other in ({"seed": 1}, {"draws": 4}):
            with pytest.raises(KeyboardInterrupt):
                hypotheses.test_circuit(model, circuit, small_examples(), **(sizes | other), folder=folder)
    for one in (found, again):
        assert one.findings == unbroken.findings
        pd.testing.assert_frame_equal(one.components, unbroken.components, check_exact=True)
        pd.testing.assert_frame_equal(one.sufficiency, unbroken.sufficiency, check_exact=True)


def stopped(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_one_category_and_few_triples(whole):
    for n, categories in ((4, ("vandalism",)), (2, ("vandalism", "mischief"))):
        tests = hypotheses.test_circuit(whole[0], OWN, small_examples(n, categories=categories), **SMALL)
        assert f"cannot be tested: fewer than 5 triples: with {n}" in tests.table()["answer"][0]


# what is refused


def test_what_cannot_be_tested(whole):
    model, examples = whole[0], small_examples()
    nothing = WeightMask(shapes=outgoing(model, OWN).shapes)
    alien = Attribution(torch.zeros(1, 2, 4), torch.zeros(1, 2, 7))
    for circuit, given, options, message in (
        (Circuit(), examples, {}, "the circuit has no components"),
        (nothing, examples, {}, "the circuit has no components"),
        (OWN, examples[:3], {}, "3 examples are no whole triples, or fewer than two"),
        (OWN, examples[:-1], {}, "11 examples are no whole triples"),
        (OWN, examples[1:] + examples[:1], {}, "harmful, near, far of the first triple"),
        (OWN, [replace(one, role=None) for one in examples], {}, "harmful, near, far of the first triple"),
        (OWN, examples, {"draws": 0}, "draws must be at least 1, not 0"),
        (OWN, examples, {"margin": 0.0}, "margin must be above 0, not 0.0"),
        (OWN, examples, {"scores": Scores(alien, alien, alien, None)}, "the scores are of another model"),
    ):
        with pytest.raises(ExperimentError, match=message):
            hypotheses.test_circuit(model, circuit, given, **(SMALL | options))
    with pytest.raises(CircuitError, match="is not in this model"):
        hypotheses.test_circuit(model, Circuit(heads=[(9, 0)]), examples, **SMALL)


# the figure


def test_the_figure_draws_sizes_and_the_circuit():
    frame = pd.DataFrame({"multiple": [4, 1, 2], "draws": 39, "value": [0.3, 0.1, 0.2], "low": 0.0, "high": 0.5})
    drawn = figures.random_circuits(frame, own=0.4, low=0.35, high=0.45, measure="selectivity")
    random, own = (next(trace for trace in drawn.data if trace.name == name) for name in ("random circuits", "the circuit"))
    assert list(random.x) == [1, 2, 4] and list(random.y) == [0.1, 0.2, 0.3] and list(own.y) == [0.4, 0.4]
    assert [(shape.y0, shape.y1) for shape in drawn.layout.shapes] == [(0.35, 0.45)]
    assert "4 times its size +0.300" in drawn.layout.meta["alt"] and "selectivity" in drawn.layout.yaxis.title.text
    assert not figures.random_circuits(frame, own=0.4).layout.shapes
    for own_value, given, measure, message in (
        (float("nan"), frame, "rise", "nothing to compare"),
        (0.4, frame.drop(columns="draws"), "rise", "missing"),
        (0.4, frame.assign(multiple=0), "rise", "at least 1"),
        (0.4, frame, "loss", "unknown"),
    ):
        with pytest.raises(FigureError, match=message):
            figures.random_circuits(given, own=own_value, measure=measure)
