"""`distinct`: planted truths, also where the claim is false; what is read, kept and refused."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from triples import SETTINGS

from harmcircuits.claims import material as material_room
from harmcircuits.claims.distinct import Distinct, distinct
from harmcircuits.claims.distinct import claim as room
from harmcircuits.claims.distinct.aims import FAR, HARM, NEAR, scored
from harmcircuits.claims.earlier import ClaimError
from harmcircuits.claims.material import Material, prepare
from harmcircuits.experiments.scores import recipe
from harmcircuits.models.protocol import geometry
from harmcircuits.organisms import Planted, planted
from harmcircuits.organisms.language import TOPICS
from harmcircuits.tasks.capabilities import Completion, half

SIZES = replace(
    SETTINGS, attribution_triples=24, test_triples=16, head_fraction=2 / 24, neuron_fraction=8 / 192, protect_neurons=0.1
)
KIND, LABELS = "kind words", "labels"


def sentences(organism: Planted, n: int = 64) -> dict[str, list[Completion]]:
    """Two benign capabilities of the planted language: kind words, and telling harmful requests from others."""
    found: dict[str, list[Completion]] = {KIND: [], LABELS: []}
    for prompt in [prompt for prompt in organism.prompts if prompt.role == "near"][:n]:
        topic = prompt.request.split()[2]
        other = TOPICS[(TOPICS.index(topic) + 1) % len(TOPICS)]
        wrong = (f" {topic}wreck", f" {other}care")
        found[KIND].append(
            Completion(request=prompt.request, stem=prompt.prefill, right=f" {topic}care", wrong=wrong, topic=topic)
        )
    for prompt in [prompt for prompt in organism.prompts if prompt.role != "far"][:n]:
        right, wrong = (" wrong", " right") if prompt.role == "harmful" else (" right", " wrong")
        found[LABELS].append(
            Completion(request=prompt.request, stem="It is", right=right, wrong=(wrong,), topic=str(prompt.role))
        )
    return found


def measured(variant: str, **options: object) -> Distinct:
    organism = planted(0, variant)  # type: ignore[arg-type]
    own = {"settings": SIZES, "draws": 40, "control": KIND} | options
    return distinct(organism.model, organism.prompts, sentences=sentences(organism), **own)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain() -> Distinct:
    return measured("plain", reproduce="harmcircuits distinct")


def test_planted_writing_is_distinct(plain: Distinct) -> None:
    assert plain.found == "yes", plain.sentence
    for kind in (KIND, LABELS):
        assert abs(plain.values[f"overlap_{kind}"].value) < 0.15
        assert abs(plain.values[f"harm_circuit_{kind}"].value) < 0.1 < 2 < plain.values["harm_circuit_harm"].value
    assert plain.values[f"{KIND}_circuit_{KIND}"].low > 2 and plain.values[f"{KIND}_circuit_harm"].high < 0.1


def test_where_one_mechanism_writes_both_the_claim_is_false() -> None:
    found = measured("entangled")
    assert found.found == "no" and KIND in found.sentence, found.sentence
    assert found.values[f"overlap_without_protection_{KIND}"].low > 0.5
    assert found.values["harm_circuit_harm"].low <= 0, "protection spares what kind words need, and nothing else writes harm"


@pytest.fixture(scope="module")
def unprotected() -> Distinct:
    """A head that moves the topic of harmful and kind words alike is among the circuit of harm, since nothing spares it."""
    return measured("both", settings=replace(SIZES, protect_heads=0.0, protect_neurons=0.0), control=LABELS)


def test_a_circuit_that_writes_any_answer_is_not_called_distinct(unprotected: Distinct) -> None:
    values = unprotected.values
    assert values["interaction"].low > 0 and values[f"overlap_{LABELS}"].high < 0.5 and values["own_harm"].low > 0
    assert values["harm_circuit_near"].low > 2 > 0.1 > values[f"harm_circuit_{LABELS}"].high, "near twins fall, labels do not"
    assert unprotected.found == "no" and "near twins lose at least half of what harm loses" in unprotected.sentence


def test_it_loads_as_it_was_saved_and_draws_the_same(plain: Distinct, tmp_path) -> None:
    again = Distinct.load(plain.save(tmp_path))
    assert (again.found, again.sentence, again.command) == (plain.found, plain.sentence, "harmcircuits distinct")
    assert again.values == dict(plain.values) and list(again.figures()) == ["overlaps", "effects"]
    for name, frame in plain.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], frame, check_dtype=False, check_exact=True)
    for name, figure in plain.figures().items():
        assert again.figures()[name].to_json() == figure.to_json()


@pytest.fixture(scope="module")
def prepared() -> tuple[Planted, Material]:
    organism = planted(0, "plain")
    return organism, prepare(organism.model, organism.prompts, settings=SIZES)


def test_the_circuit_of_harm_is_that_of_the_other_claims(prepared) -> None:
    organism, own = prepared
    shape = geometry(own.model)
    sized = {"heads": own.settings.n_heads(shape), "neurons": own.settings.n_neurons(shape)}
    trained = {kind: half(items, "training")[:8] for kind, items in sentences(organism).items()}
    sources = scored(own, trained, **sized)
    shape, scores = geometry(own.model), own.scores
    sizes = {"heads": own.settings.n_heads(shape), "neurons": own.settings.n_neurons(shape)}
    assert sources.circuit(HARM) == recipe(scores.harmful, scores.benign, own.settings, **sizes)
    assert sources.protected_for(HARM) == [NEAR, FAR] and sources.protected_for(KIND) == [LABELS, FAR]


def test_what_it_costs_is_what_it_reads_and_a_second_run_reads_nothing(prepared, monkeypatch, tmp_path) -> None:
    organism, own = prepared
    own = replace(own, journal=material_room.Journal(tmp_path))
    read, sentence_reads, selected, real_read = [], [], [], room.read

    def counting(material, conditions, **options):
        read.append(len(conditions))
        return real_read(material, conditions, **options)

    monkeypatch.setattr(room, "read", counting)
    asked = sentences(organism)
    before = {name: value.clone() for name, value in own.model.named_parameters()}
    first = distinct(own.model, sentences=asked, control=KIND, draws=40, material=own)
    assert read == [2 + len(asked)]
    assert all(torch.equal(before[name], value) for name, value in own.model.named_parameters())
    monkeypatch.setattr("harmcircuits.claims.distinct.readings.read_completions", lambda *args: sentence_reads.append(args))
    monkeypatch.setattr("harmcircuits.claims.distinct.result.overlaps", lambda *args, **how: selected.append(args))
    again = distinct(own.model, sentences=asked, control=KIND, draws=40, material=own)
    assert not sentence_reads and not selected and again.values == first.values, "all of it was kept"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"control": "music"}, r"control='music' is not among the capabilities: choose one of facts, arithmetic, grammar"),
        ({"draws": 10}, r"draws=10: an interval of an overlap needs at least 39"),
        ({"sentences": {"facts": []}}, r"'facts' has 0 sentences to attribute and 0 to test, and at least 8"),
        ({"sentences": {"facts": [], "harm": []}}, r"cannot be called harm, near twins, far twins"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_computed(tiny, monkeypatch, options, told) -> None:
    monkeypatch.setattr(room, "prepare", lambda *args, **kwargs: pytest.fail("nothing may be computed"))
    with pytest.raises(ClaimError, match=told):
        distinct(tiny, **options)
