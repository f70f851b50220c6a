"""What claims read of conditions: once, as by hand, kept when it is finished, and gone on with after a stop."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from triples import OWN, SETTINGS, make_mask, make_triples

from harmcircuits import store
from harmcircuits.ablation.ablate import Ablation
from harmcircuits.attribution.weights import attribute_weights
from harmcircuits.circuits import Circuit
from harmcircuits.claims import reading
from harmcircuits.claims.material import Material, prepare
from harmcircuits.claims.reading import read
from harmcircuits.experiments import battery
from harmcircuits.experiments.battery import read_conditions
from harmcircuits.experiments.names import name_of, name_of_examples
from harmcircuits.models.model_key import model_hash
from harmcircuits.statistics import Estimate
from harmcircuits.store.journal import Journal

HEAD, OTHER = Circuit(heads=[(0, 1)]), Circuit(neurons=[(1, 3)])
CONDITIONS: dict[str, Ablation] = {"own": OWN, "both": HEAD | OTHER, "head": HEAD, "other": OTHER}


@pytest.fixture(scope="module")
def material(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("claims-cache")))
        yield prepare(tiny, make_triples(24), settings=SETTINGS)


@pytest.fixture
def own(material: Material, tmp_path: Path) -> Material:
    return replace(material, journal=Journal(tmp_path / "journal"))


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read, condition by condition; the intact model goes without saying."""
    names: list[str] = []

    def counted(model: Any, asked: Any, conditions: Any, **options: Any) -> Any:
        names.extend(conditions)
        return read_conditions(model, asked, conditions, **options)

    monkeypatch.setattr(reading, "read_conditions", counted)
    return names


def test_material_is_in_the_order_that_it_says(material: Material) -> None:
    assert [one.role for one in material.training] == ["harmful", "near", "far"] * SETTINGS.attribution_triples
    assert [one.group for one in material.examples[::3]] == [triple.group for triple in material.test.triples]
    assert len(material.categories) == SETTINGS.test_triples and set(material.harm_groups) == {"mild"}
    roles = (material.scores.harmful, material.scores.near, material.scores.far)
    assert all(one.n_examples == len(material.training_categories) == SETTINGS.attribution_triples for one in roles)
    assert material.settings.everyday == 0


def test_what_is_read_is_what_is_read_by_hand_and_leaves_the_model_alone(own: Material) -> None:
    before = model_hash(own.model)
    conditions = CONDITIONS | {"mask": make_mask(own.model)}
    found, by_hand = read(own, conditions), read_conditions(own.model, own.asked, conditions)
    for name in ("intact", *conditions):
        ours, theirs = found.outcomes.by_triple(name), by_hand.by_triple(name)
        assert set(ours) == set(theirs)
        for column, values in theirs.items():
            np.testing.assert_allclose(ours[column], values, atol=1e-6, err_msg=column)
        rises = theirs["nll"] - by_hand.by_triple("intact")["nll"]
        np.testing.assert_allclose(found.rises(name), rises, atol=1e-6)
        assert found.generation(name)["harmful_nll_rise"].value == pytest.approx(rises[:, 0].mean(), abs=1e-6)
        assert found.judged[name]["harmful_rate"] == Estimate.missing("no judge of harm was given")
    assert np.abs(found.rises("own")).max() > 1e-3 and not found.rises("intact").any()
    assert model_hash(own.model) == before


def test_the_intact_model_is_read_once_however_many_groups_of_conditions(
    own: Material, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone, whole = [], battery.write_all
    monkeypatch.setattr(battery, "write_all", lambda *given: alone.append(1) or whole(*given))
    together = read(own, CONDITIONS)
    assert len(alone) == 1 + len(CONDITIONS)
    monkeypatch.setattr(reading, "AT_ONCE", 1)
    one_by_one = read(replace(own, journal=Journal(tmp_path / "other")), CONDITIONS)
    assert len(alone) == 2 * (1 + len(CONDITIONS))
    pd.testing.assert_frame_equal(one_by_one.outcomes.frame, together.outcomes.frame, check_exact=True)
    missing = one_by_one.generation(next(iter(CONDITIONS)))["kl"]
    assert missing.is_missing and "were not read beside it" in str(missing.reason)


def test_conditions_that_switch_off_the_same_are_read_once(own: Material, asked_for: list[str]) -> None:
    same = {"one": OWN, "two": Circuit(heads=OWN.heads, neurons=OWN.neurons), "none": Circuit()}
    found = read(own, same)
    assert asked_for == [name_of(OWN)]
    assert np.array_equal(found.rises("two"), found.rises("one"))
    assert not found.rises("none").any()
    read(own, {"again": OWN})
    assert len(asked_for) == 1, "the journal had it"
    read(replace(own, settings=replace(own.settings, seed=1)), {"again": OWN})
    assert len(asked_for) == 2, "another seed is another question"


def test_a_run_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(
    own: Material, asked_for: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 2)
    undisturbed = read(replace(own, journal=Journal(tmp_path / "other")), CONDITIONS)
    asked_for.clear()
    written, write_all = [], battery.write_all

    def stops(*given: Any) -> Any:
        written.append(1)
        if len(written) == 4:  # the intact model and two conditions; then a third
            raise KeyboardInterrupt
        return write_all(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(battery, "write_all", stops)
        read(own, CONDITIONS)
    assert asked_for == [name_of(one) for one in CONDITIONS.values()]
    resumed = read(own, CONDITIONS)
    assert asked_for[4:] == [name_of(CONDITIONS[name]) for name in ("head", "other")]
    for again in (resumed, read(own, CONDITIONS)):
        pd.testing.assert_frame_equal(again.outcomes.frame, undisturbed.outcomes.frame, check_exact=True)
        pd.testing.assert_frame_equal(again.outcomes.items, undisturbed.outcomes.items, check_exact=True)
        assert again.judged == undisturbed.judged
    assert len(asked_for) == 6, "the last one read nothing"


def test_no_text_that_was_written_is_kept(own: Material) -> None:
    read(own, {"own": OWN})
    said = read_conditions(own.model, own.asked, {"own": OWN}).responses["response"].tolist()
    long = [text for text in (*said, *(one.response for one in own.examples)) if len(text) > 7]
    assert own.journal.folder is not None
    files = [path.read_text("utf-8") for path in own.journal.folder.iterdir()]
    assert len(files) == 6 and long
    assert not [text for text in long for file in files if text in file or json.dumps(text)[1:-1] in file]


def test_whatever_a_reading_depends_on_is_in_its_key(own: Material) -> None:
    one = own.examples[0]
    for change in ({"category": "other"}, {"harm_group": "other"}, {"response_ids": (1,)}, {"prefill": "No"}):
        assert name_of_examples([replace(one, **change)]) != name_of_examples([one])  # type: ignore[arg-type]
    more = replace(own, settings=replace(own.settings, probe_triples=3))
    fewer = replace(own, train=make_triples(9))
    assert len({str(reading._key(each)) for each in (own, more, fewer, replace(own, key="other"))}) == 4
    assert reading._key(own) == reading._key(replace(own, journal=Journal()))


def test_weight_scores_are_of_harmful_text_and_protect_both_twins(material: Material) -> None:
    scores = material.weight_scores
    assert material.weight_scores is scores
    near_and_far = [one for one in material.training if one.role != "harmful"]
    by_hand = attribute_weights(
        material.model, [one for one in material.training if one.role == "harmful"], benign=near_and_far
    )
    assert scores.n_examples == SETTINGS.attribution_triples and scores.n_benign == 2 * SETTINGS.attribution_triples
    for name, values in by_hand.signed.items():
        torch.testing.assert_close(scores.signed[name], values)
        torch.testing.assert_close(scores.absolute[name], by_hand.absolute[name])
