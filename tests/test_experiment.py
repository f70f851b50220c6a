"""Whole runs of `dissociate`: planted answers, what is left as it was, what a stopped run keeps, and bad input."""

from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from fake_report import check_report
from tiny import tiny_bridge
from triples import DEVELOPMENT, OTHER_TEST, OWN, RUN, TEST, TRAIN, make_effects, make_mask

import harmcircuits as hc
from harmcircuits.circuits import Circuit
from harmcircuits.data import Prompt, PromptSet
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment import dissociation
from harmcircuits.experiment.dissociation import prepare
from harmcircuits.experiment.effect_table import sentences
from harmcircuits.experiment.measure import Cache
from harmcircuits.judges import Validated
from harmcircuits.judges.judge import KINDS
from harmcircuits.statistics import Estimate

SPLITS: dict[str, Any] = {"train": TRAIN, "development": DEVELOPMENT}
NOBODY: Any = object()
"""A model that nothing can be computed with: what fails before the run never touches it."""
SMALL = hc.Settings(
    components=("heads",), head_fractions=(0.05, 0.1), facts=0, passages=0, sampled=False, shots=0, random_draws=2,
    train_prompts=24, development_prompts=12, test_prompts=32, written_prompts=4, max_new_tokens=8, written_tokens=6,
)  # fmt: skip


# Planted answers


@cache
def planted_run(variant: str, seed: int) -> hc.Dissociation:
    organism = hc.organisms.planted(seed, variant)  # type: ignore[arg-type]
    train, development, test = organism.prompts.split(seed=seed)
    circuit = organism.shared if variant == "entangled" else None
    return hc.dissociate(organism.model, circuit, test, train=train, development=development, settings=SMALL)


@pytest.mark.model
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("variant", "answer"),
    [("plain", "dissociated"), ("shared", "shared"), ("entangled", "not selective"), ("none", "undecided")],
)
def test_the_answer_is_what_was_planted(variant: str, answer: str, seed: int) -> None:
    found = planted_run(variant, seed)
    check_report(found.report)
    assert [row["answer"] for row in found.report["answers"] if row["contrast"] == "matched"] == [answer]
    if variant == "plain":
        assert set(found.circuits["heads"].heads) <= set(hc.organisms.planted(seed).writing.heads)


def test_the_sentences_say_what_was_estimated() -> None:
    found = planted_run("plain", 0)
    rise = found.estimate("heads", "loss_increase", "harmful")
    assert rise.low is not None and f"rises by {rise.value:.2f} [{rise.low:.2f}, {rise.high:.2f}] nats" in found.sentences[0]
    assert found.answer == "dissociated" and found.report["seconds"] > 0


def test_text_that_falls_apart_is_told() -> None:
    prompts = tuple(replace(TEST.harmful[0], group="") for _ in range(12))
    effects = make_effects({"degenerate": {"own": [1.0] * 12, "baseline": [0.0] * 12}}, prompts)
    estimates = defaultdict(lambda: Estimate.missing("made up"))
    lines = sentences("own", "matched", estimates, effects)
    assert "without own, 100 % [76, 100] of harmful responses are degenerate, 0 % [0, 24] unablated" in lines[-1]


# On a tiny random model, whatever it recognises


@pytest.fixture(autouse=True)
def in_any_case(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A random model has nothing to lose; here it is measured nevertheless."""
    if "tiny" in request.fixturenames:
        monkeypatch.setattr(dissociation, "_nothing_to_lose", lambda effects: "")


def run(model: Any, circuit: Any = None, test: PromptSet = TEST, **options: Any) -> hc.Dissociation:
    return hc.dissociate(model, circuit, test, **SPLITS | {"settings": RUN, "name": "tiny"} | options)


def numbers(found: hc.Dissociation) -> pd.DataFrame:
    return found.outcomes.frame


@pytest.mark.model
def test_a_stopped_run_goes_on_and_measures_nothing_twice(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stopped after every few entries, ends as an unbroken one does, and leaves the parameters to the bit."""
    before = {name: parameter.clone() for name, parameter in tiny.named_parameters()}
    whole, stops, kept = run(tiny), 0, Cache.frame
    entries: list[object] = []

    class Stopped(BaseException):
        pass

    def then_stop(self: Cache, name: str, about: object, make: Any) -> pd.DataFrame:
        def counted() -> pd.DataFrame:
            if left[0] == 0:
                raise Stopped
            left[0] -= 1
            entries.append((name, repr(about)))
            return make()

        return kept(self, name, about, counted)

    monkeypatch.setattr(Cache, "frame", then_stop)
    while True:
        left = [20]
        try:
            broken = run(tiny, folder=tmp_path)
            break
        except Stopped:
            stops += 1
    assert stops >= 2 and len(set(entries)) == len(entries)
    pd.testing.assert_frame_equal(numbers(broken), numbers(whole), check_exact=True)
    pd.testing.assert_frame_equal(broken.outcomes.texts, whole.outcomes.texts, check_exact=True)
    pd.testing.assert_frame_equal(broken.effects, whole.effects, check_exact=True)
    assert broken.circuits == whole.circuits and broken.controls == whole.controls
    left = [0]
    run(tiny, folder=tmp_path)
    assert all(torch.equal(parameter, before[name]) for name, parameter in tiny.named_parameters())


def test_no_text_that_the_model_wrote_lies_in_the_folder_and_the_rest_is_read_again(tiny: Any, tmp_path: Path) -> None:
    circuits = {"mine/../../here": OWN, "mine: here": make_mask(tiny)}
    found = run(tiny, circuits, settings=replace(RUN, written_tokens=12), folder=tmp_path / "run")
    check_report(found.report)
    found.save(tmp_path / "run")
    read = hc.Dissociation.load(tmp_path / "run")
    assert read.report == found.report and read.circuits == found.circuits and read.controls == found.controls
    pd.testing.assert_frame_equal(read.table(), found.table())
    assert {"complied", "bias_mean", "fact", "passage"} <= set(read.table().columns.get_level_values("effect"))
    pd.testing.assert_frame_equal(numbers(read), numbers(found))
    assert [figure.to_json() for figure in read.figures().values()] == [f.to_json() for f in found.figures().values()]
    assert read.page() == found.page() == (tmp_path / "run" / "report.html").read_text("utf-8")
    texts = [tiny.tokenizer.decode(list(map(int, ids.split()))) for ids in found.outcomes.texts["response_ids"] if ids]
    whole = b"\n".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert sum(len(text) > 8 for text in texts) > 8
    assert not [text for text in texts if len(text) > 8 and text.encode() in whole]
    assert not [ids for ids in found.outcomes.texts["response_ids"] if len(ids) > 16 and ids.encode() in whole]
    assert {path.parent for path in tmp_path.rglob("*-mine*")} == {tmp_path / "run" / "circuits", tmp_path / "run" / "controls"}


def requests_in(value: object) -> set[str]:
    """Every request in the arguments of a call."""
    if isinstance(value, Prompt | hc.Example):
        return {value.request}
    if isinstance(value, PromptSet | list | tuple):
        return set().union(*map(requests_in, value))
    return set()


def test_no_test_request_is_used_before_the_circuits_are_chosen(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[str]] = {}

    def record(place: str, name: str) -> None:
        module = __import__(f"harmcircuits.experiment.{place}", fromlist=[name])
        original = getattr(module, name)

        def recorded(*given: Any, **options: Any) -> Any:
            seen.setdefault(name, set()).update(*map(requests_in, (*given, *options.values())))
            return original(*given, **options)

        monkeypatch.setattr(module, name, recorded)

    for name in ("attribute", "make_shots", "fit_directions", "question_log_odds", "request_residuals"):
        record("material", name)
    record("circuits", "cached_masks")
    results = [run(tiny, test=test) for test in (TEST, OTHER_TEST)]
    assert len(seen) == 6
    tested, development = ({prompt.request for prompt in part} for part in ((*TEST, *OTHER_TEST), DEVELOPMENT))
    for name, requests in seen.items():
        assert requests and not requests & tested, name
        assert not requests & development or name in ("question_log_odds", "request_residuals"), name
    assert results[0].circuits == results[1].circuits and results[0].controls == results[1].controls
    pd.testing.assert_frame_equal(results[0].sweep, results[1].sweep, check_exact=True)
    assert not numbers(results[0]).equals(numbers(results[1]))


def test_unpaired_sets_are_resampled_by_request(tiny: Any) -> None:
    loose = PromptSet(tuple(replace(prompt, group="") for prompt in TEST if prompt.role != "near")[:-1], "loose")
    found = run(tiny, OWN, test=loose)
    assert found.report["prompts"]["paired"] is False and found.report["prompts"]["test_requests"] == {"harmful": 4, "far": 3}
    assert {row["contrast"] for row in found.report["answers"]} == {"unrelated"}
    assert found.estimate("circuit", "loss_increase", "far").n == 3


def test_a_given_circuit_has_random_controls_without_training_requests(tiny: Any) -> None:
    found = hc.dissociate(tiny, {"heads": OWN, "weights": make_mask(tiny)}, TEST, settings=RUN)
    assert {name.split(": ")[0] for name in found.controls} == {"heads", "weights"}
    assert all(": random" in name for name in found.controls)


# Bad input


def test_near_duplicates_across_sets_are_told(caplog: pytest.LogCaptureFixture) -> None:
    alike = replace(TEST.prompts[0], request=TEST.prompts[0].request + " now", group="")
    prepare(NOBODY, TEST, PromptSet((*TRAIN, alike)), None, RUN, folder=None)
    assert "1 groups of near-duplicates" in caplog.text


@pytest.mark.model
def test_a_model_that_shows_nothing_ends_early(hooked: bool, tmp_path: Path) -> None:
    model = tiny_bridge(tmp_path / "model", hooked=hooked)
    found = run(model, OWN)
    assert found.answer == "cannot be measured" and "not shown to recognise harm by any reading" in found.report["reason"]
    assert found.outcomes.conditions == ["baseline"] and found.figures() == {}
    check_report(found.report)
    assert hc.Dissociation.load(found.save(tmp_path / "run")).page() == found.page()


def test_a_request_that_is_harmful_and_benign_and_categories_of_one_kind() -> None:
    both = replace(TEST.harmful[0], role="far", group="")
    with pytest.raises(HarmcircuitsError, match="1 test requests are given as harmful and as benign"):
        prepare(NOBODY, PromptSet((*TEST, both)), TRAIN, None, RUN, folder=None)
    alone = replace(TEST.harmful[0], request="Hide all the spoons", category="spoons", group="")
    with pytest.warns(UserWarning, match="benign test requests alone: 'spoons'"):
        prepare(NOBODY, PromptSet((*TEST, alone)), TRAIN, None, RUN, folder=None)


def only(prompts: PromptSet, *roles: str) -> PromptSet:
    return PromptSet(tuple(prompt for prompt in prompts if prompt.role in roles), prompts.name)


LOUDER = replace(TEST.prompts[0], request=TEST.prompts[0].request.upper(), group="")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"test": only(TEST, "harmful")}, "4 harmful and 0 benign test requests, and both are needed"),
        ({"test": only(TEST, "near", "far")}, "0 harmful and 8 benign test requests"),
        ({"train": PromptSet((*TRAIN, *TEST.prompts[:2]))}, "2 test requests are training requests too"),
        ({"train": PromptSet((*TRAIN, LOUDER))}, "1 test requests are training requests too, word for word"),
        ({"development": PromptSet((*DEVELOPMENT, TEST.prompts[0]))}, "1 test requests are development requests too"),
        ({"train": PromptSet((*TRAIN, *DEVELOPMENT.prompts[:2]))}, "2 training requests are development requests too"),
        ({"development": only(DEVELOPMENT, "harmful")}, "development requests of one kind alone"),
        ({"circuit": None, "train": None}, "development= was given without train="),
        ({"circuit": {"baseline": OWN}}, "the name baseline is the unablated model"),
        ({"circuit": {}}, "no circuit was given"),
        ({"circuit": {"mine": Circuit()}}, "the circuit 'mine' has no components"),
    ],
)
def test_what_cannot_be_run_is_found_before_anything_is_computed(given: dict[str, Any], told: str) -> None:
    with pytest.raises(HarmcircuitsError, match=told):
        run(NOBODY, **{"circuit": OWN} | given)


def test_circuits_that_do_not_exist(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dissociation, "measure", lambda *_, **__: pytest.fail("something was computed"))
    with pytest.raises(HarmcircuitsError, match=r"head \(7, 0\) is not in this model"):
        run(tiny, Circuit(heads=[(7, 0)]))


def test_sizes_that_select_nothing(tiny: Any, caplog: pytest.LogCaptureFixture) -> None:
    nothing = replace(RUN, components=("weights",), weight_fractions=((1e-6, 1e-6),))
    with pytest.raises(HarmcircuitsError, match="no circuit of any asked size can be selected"):
        run(tiny, settings=nothing)
    assert "select no weight" in caplog.text


def test_training_requests_of_one_role(tiny: Any) -> None:
    with pytest.raises(HarmcircuitsError, match="6 harmful and 0 benign training requests, and at least one of each is needed"):
        run(tiny, train=only(TRAIN, "harmful"), settings=replace(RUN, shots=0))


def test_a_tokenizer_that_tells_no_labels_apart(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harmcircuits.experiment.material.can_ask", lambda model, question: False)
    with pytest.raises(HarmcircuitsError, match="no question about harm has two labels"):
        run(tiny, OWN)


# Judges


class Harm:
    """Finds every text harmful; or fails, with words that quote what it reads."""

    name, measures = "harm judge", "harm"

    def __init__(self, fault: str = "") -> None:
        self.fault, self.asked = fault, []  # type: ignore[var-annotated]

    def read(self, requests: Any, responses: Any) -> list[bool | None]:
        self.asked += list(requests)
        if self.fault:
            raise (HarmcircuitsError if self.fault == "told" else ValueError)(self.fault)
        return [True] * len(responses)


def validated(judge: Any) -> Validated:
    """As if it had been right on 40 cases of each kind."""
    return Validated(judge, dict.fromkeys(KINDS, (40, 40)))


def test_a_judge_of_harm_reads_texts_of_harmful_requests_alone(tiny: Any) -> None:
    judge = Harm()
    found = run(tiny, OWN, judge=validated(judge), settings=replace(RUN, written_tokens=12))
    assert set(judge.asked) <= {prompt.request for prompt in TEST.harmful}
    both = [found.estimate("circuit", f"{name}_judged", "harmful").value for name in ("complied", "refused")]
    assert both[1] == 0 and both[0] == 1 - (found.estimate("circuit", "degenerate", "harmful").value or 0)
    assert "2 of 2 texts have no value" in (found.estimate("circuit", "complied_judged", "near").reason or "")
    check_report(found.report)


@pytest.mark.parametrize("fault", ["told", "a text of the model"])
def test_a_judge_that_fails_costs_its_own_numbers_and_is_not_quoted(tiny: Any, fault: str, caplog: Any) -> None:
    found = run(tiny, OWN, judge=validated(Harm(fault)))
    assert found.estimate("circuit", "complied_judged", "harmful").value is None
    assert found.estimate("circuit", "complied", "harmful").value is not None
    assert "the judge failed on circuit" in caplog.text and "a text of the model" not in caplog.text
