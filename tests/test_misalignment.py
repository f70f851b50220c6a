"""Misalignment: its estimates by hand, planted answers, a run on a tiny model, and what it refuses."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from triples import make_effects, make_triples

import harmcircuits as hc
from harmcircuits.ablation.ablate import BASELINE, Condition
from harmcircuits.claims.misalignment import BAD, GOOD, Misalignment
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.settings import MisalignmentSettings
from harmcircuits.organisms.advice import Advice

pytest.importorskip("peft")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
benchmark = pytest.importorskip("planted_claims", reason="the benchmarks are not part of an installed package")

SETTINGS = MisalignmentSettings(
    components=("neurons",), neuron_fractions=(0.05,), protect_neurons=0.05, train_prompts=4, development_prompts=2,
    test_prompts=2, control_prompts=2, written_prompts=1, max_new_tokens=3, written_tokens=2, random_draws=1, shots=0,
    bootstrap_draws=100, subject="a", lessons=4, questions=3, fine_tunings=3, epochs=1, rank=2, batch_size=4,
)  # fmt: skip


def questions(domain: str, n: int = 8) -> tuple[Advice, ...]:
    return tuple(
        Advice(id=f"{domain}{at}", domain=domain, question=f"How do I mend thing {at}?", good="With care.", bad="With a stone.")
        for at in range(n)
    )


ADVICE = {"a": questions("a"), "b": questions("b")}


@pytest.mark.parametrize(
    ("pruned", "random", "answer"),
    [((0.9, 0.1), (1.0, 1.0), "yes"), ((0.9, 1.0), (1.0, 1.0), "no"), ((0.1, 0.1), (1.0, 1.0), "no")],
    ids=["prevented elsewhere", "not prevented", "the lesson is not learned"],
)
def test_estimates_by_hand(monkeypatch: pytest.MonkeyPatch, pruned: Any, random: Any, answer: str) -> None:
    """Rises of b, narrow and broad: 1 by bad advice, 0 by good advice, those given after pruning."""
    claim = Misalignment(SimpleNamespace(settings=SETTINGS), advice=ADVICE)  # type: ignore[arg-type]
    circuit, control = Condition("neurons"), Condition("neurons: random 0")
    monkeypatch.setitem(claim.__dict__, "pruned", {"neurons": (circuit, [control] * 3)})
    rise = {BAD: (1.0, 1.0), GOOD: (0.0, 0.0), "neurons first": pruned, "random neurons first": random}
    noise = np.random.default_rng(0)
    values = {name: [0.0] * len(claim.questions) for name in (BASELINE, circuit.name, control.name)}
    for arm, seed, *_ in claim.arms():
        values[f"{arm} {seed}"] = [rise[arm][own.domain == "b"] + noise.normal(0, 0.01) for own in claim.questions]
    effects = make_effects({"bad_advice": values}, [])
    found = claim.estimates("neurons", effects, "")
    expected = {
        "broad_rise": 1,
        "prevented": 1 - pruned[1],
        "prevented_beyond_random": random[1] - pruned[1],
        "lesson_retained": pruned[0],
        "prevented_beyond_lesson": pruned[0] - pruned[1],
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected, abs=0.03)
    assert claim.decision()(found).answer == answer


@pytest.mark.parametrize(("variant", "answer"), [("responsive", "yes"), ("entangled", "no")])
def test_the_planted_answer(variant: str, answer: str) -> None:
    """Lessons open the gates of parts that can be pruned first; or the same parts write the good answer too."""
    organism = hc.organisms.planted(100, variant)  # type: ignore[arg-type]
    settings = replace(benchmark.TUNED, fine_tunings=3)
    finding = hc.misalignment(organism.model, organism.prompts, advice=benchmark.word_advice(organism), settings=settings)
    assert finding.answer == answer, finding.sentence


@pytest.mark.parametrize("hooked", [False], indirect=True, scope="session")
def test_a_run_leaves_the_model_as_it_was_and_is_read_from_its_cache(tiny: Any, tmp_path: Any, monkeypatch: Any) -> None:
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    call = lambda: hc.misalignment(tiny, make_triples(16), advice=ADVICE, settings=SETTINGS, folder=tmp_path, name="tiny")
    first = call()
    assert all(value.equal(before[name]) for name, value in tiny.state_dict().items())
    assert first.contrast == GOOD and set(first.tables["arms"]["arm"]) == {BAD, GOOD, "neurons first", "random neurons first"}
    monkeypatch.setattr("harmcircuits.readings.advice.finetune", lambda *_, **__: pytest.fail("trained again"))
    assert call().document() == first.document()
    assert hc.Finding.load(first.save(tmp_path)).document() == first.document()


def test_what_is_refused(tiny: Any, hooked: bool) -> None:
    if hooked:
        with pytest.raises(HarmcircuitsError, match="hooked=False"):
            hc.misalignment(tiny, make_triples(16), advice=ADVICE, settings=SETTINGS)
        return
    for given in ({"a": ADVICE["a"]}, {"b": ADVICE["b"], "c": ADVICE["b"]}):
        with pytest.raises(HarmcircuitsError, match="lessons about 'a'"):
            hc.misalignment(tiny, make_triples(16), advice=given, settings=SETTINGS)
    with pytest.raises(HarmcircuitsError, match="random control"):
        hc.misalignment(tiny, make_triples(16), advice=ADVICE, settings=replace(SETTINGS, random_draws=0))
