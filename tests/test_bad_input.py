"""Bad and extreme input: an error that says what to do, or a null with its reason; never a crash, and never a silent 0."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from contract import check_report
from tiny import SPECIAL, tiny_model, tiny_tokenizer
from triples import OWN, RICH, SETTINGS, SPLITS, TEST, TRAIN, make_mask, make_triples

from harmcircuits import store
from harmcircuits.experiments import battery
from harmcircuits.experiments.battery import Outcomes
from harmcircuits.experiments.checks import ExperimentError
from harmcircuits.experiments.dissociation import dissociate
from harmcircuits.experiments.result import Dissociation
from harmcircuits.models.load import load_model
from harmcircuits.models.protocol import ModelError, model_hash
from harmcircuits.prompts.errors import PromptError
from harmcircuits.prompts.promptset import PromptSet

NOBODY: Any = object()
END = SPECIAL.index("<|im_end|>")


def whole(model: Any, circuit: Any = None, *, folder: Path, **options: Any) -> Dissociation:
    """A run that keeps the contract, can be drawn and printed, and is the same after saving and loading."""
    before = model_hash(model)
    found = dissociate(model, circuit, TEST, **options)
    assert model_hash(model) == before
    check_report(found.report)
    found.save(folder / "saved")
    loaded = Dissociation.load(folder / "saved")
    assert loaded.report["conditions"] == found.report["conditions"]
    pd.testing.assert_frame_equal(loaded.table(), found.table())
    assert set(loaded.figures()) <= set(found.figures())
    return found


def values_of(found: Dissociation, group: str, key: str) -> list[Any]:
    """Of the intact model and of every condition."""
    return [entry[group][key] for entry in (found.report["intact"], *found.report["conditions"])]


def edited(folder: Path, edit: Any) -> Any:
    """A tiny model with untied embeddings whose weights were changed."""
    model = tiny_model(tie_word_embeddings=False)
    with torch.no_grad():
        edit(model)
    model.save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    return load_model(folder / "model", device="cpu")


def silent(model: Any) -> None:
    """It ends its turn at once, whatever was asked: one feature is constant, and the end of turn reads it."""
    model.model.embed_tokens.weight[:, 0] = 10
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[0] = 0
        layer.mlp.down_proj.weight[0] = 0
    model.lm_head.weight[END] = 0
    model.lm_head.weight[END, 0] = 100


def broken(model: Any) -> None:
    model.lm_head.weight[7] = float("nan")


class TestSilentModel:
    """Responses of nothing but an end of turn."""

    @pytest.fixture(scope="class")
    def found(self, tmp_path_factory: pytest.TempPathFactory) -> Dissociation:
        place = tmp_path_factory.mktemp("silent")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("silent-cache")))
            return whole(edited(place, silent), OWN, folder=place, **SPLITS, crossed=True)

    def test_every_outcome_is_told(self, found: Dissociation) -> None:
        assert set(found.responses["response"]) == {""}
        for value in values_of(found, "generation", "degenerate_rate"):
            assert (value["value"], value["n"]) == (1.0, 2), "nothing written is degenerate"
        for group, key in (("generation", "on_task_rate"), ("refusal", "harmful_rate")):
            assert {value["value"] for value in values_of(found, group, key)} == {0.0}, "and neither answers nor refuses"
        for value in values_of(found, "generation", "retained_harmful"):
            assert "does not depend on the request" in value["reason"]
        for value in values_of(found, "generation", "policy_information_harmful"):
            assert value["value"] == pytest.approx(0, abs=1e-3)

    def test_the_verdict_says_that_it_cannot_be_measured(self, found: Dissociation) -> None:
        assert found.verdict == "cannot be measured"
        assert "what the intact model writes hardly depends on the request" in found.report["verdict_sentence"]


class TestNotANumber:
    @pytest.mark.parametrize("circuit", [None, OWN], ids=["to be selected", "given"])
    def test_a_model_whose_logits_are_none(self, tmp_path: Path, circuit: Any) -> None:
        with pytest.raises(ModelError, match=r"the model's logits are not finite numbers.*its weights are damaged"):
            dissociate(edited(tmp_path, broken), circuit, TEST, **SPLITS)

    def test_readings_of_a_condition_that_are_none(self, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Null with a reason everywhere, and no firm verdict."""
        read = battery.teacher_forced

        def damaged(*arguments: Any, **options: Any) -> pd.DataFrame:
            frame = read(*arguments, **options)
            readings = [column for column in frame.columns if column not in ("condition", "example")]
            frame.loc[frame["condition"] == "circuit", readings] = np.nan
            return frame

        monkeypatch.setattr(battery, "teacher_forced", damaged)
        found = whole(tiny, OWN, folder=tmp_path, **SPLITS)
        first = found.report["conditions"][0]
        for key in ("harmful_nll_rise", "selectivity", "kl", "retained_harmful"):
            assert first["generation"][key]["value"] is None, key
            assert first["generation"][key]["reason"]
        for group, key in (("recognition", "auroc_in_place"), ("recognition", "retained")):
            assert first[group][key]["value"] is None, key
        assert found.verdict in ("undecided", "cannot be measured")
        assert found.report["conditions"][1]["generation"]["selectivity"]["value"] is not None, "the others are as they were"


class TestPrompts:
    @pytest.mark.parametrize("category", ["vandalism", ""], ids=["one", "none named"])
    def test_fewer_than_two_categories_are_found_before_anything_is_computed(self, category: str) -> None:
        one = make_triples(6, categories=(category,))
        with pytest.raises(PromptError, match=r"[01] named categor(y|ies) of harmful requests, and at least 2 are needed"):
            dissociate(NOBODY, None, one, train=TRAIN, settings=SETTINGS)

    def test_training_without_a_whole_triple_is_like_none(self, tiny: Any, tmp_path: Path) -> None:
        lonely = PromptSet(tuple(prompt for prompt in TRAIN if prompt.role == "harmful"), "lonely")
        for train in (lonely, PromptSet((), "empty")):
            found = whole(tiny, OWN, folder=tmp_path, train=train, settings=SETTINGS, crossed=True)
            assert found.report["crossed"]["aims"] == {"generation": "circuit"}
            for aim in ("twins", "recognition", "explanation"):
                assert f"There is no circuit aimed at {aim}: no training split was given" in found.report["limits"]
        with pytest.raises(ExperimentError, match="no circuit was given, and no training triples"):
            dissociate(NOBODY, None, TEST, train=lonely)


NOTHING = {"facts": 0, "passages": 0, "everyday": 0, "explained_triples": 0}


def test_what_is_asked_for_0_times_is_null_and_says_so(tiny: Any, tmp_path: Path) -> None:
    found = whole(tiny, OWN, folder=tmp_path, settings=replace(SETTINGS, written_triples=1, null_draws=0, **NOTHING))
    expected = {
        ("utility", "nll_rise"): "no passages or facts were read",
        ("utility", "facts_right"): "no passages or facts were read",
        ("refusal", "money_advice_rate"): "no such request was asked",
        ("explanation", "score"): "explanations were not asked for: explained_triples is 0, and at least 3 are needed",
    }
    for (group, key), reason in expected.items():
        for value in values_of(found, group, key):
            assert value == {"value": None, "reason": reason}, (group, key)
    assert {value["n"] for value in values_of(found, "refusal", "benign_rate")} == {1}, (
        "one near twin, and nothing of every day"
    )
    assert found.items.empty
    assert Outcomes(found.outcomes, found.responses, found.items).of_items("intact", "fact").empty


class TestMaskAsTheCircuit:
    def test_it_is_measured_like_any_other_without_nulls(self, tiny: Any, tmp_path: Path) -> None:
        mask = make_mask(tiny)
        found = whole(tiny, {"mine": mask, "beside": OWN}, folder=tmp_path, **SPLITS | {"settings": RICH}, crossed=True)
        first = found.report["conditions"][0]
        assert (first["name"], first["n_heads"], first["n_neurons"], first["n_weights"]) == ("mine", 0, 0, len(mask))
        assert first["generation"]["selectivity"]["value"] is not None
        why = "the first circuit is a mask of weights"
        assert why in first["dissociation"]["p_value"]["reason"]
        assert found.nulls is None
        assert found.controls == {}
        for control in ("aimed at twins", "aimed at recognition", "matched random"):
            assert any(
                limit.startswith(f"There is no circuit {control}: ") and why in limit for limit in found.report["limits"]
            )
        reasons = "\n".join(found.report["verdict_reasons"])
        assert "no training split was given" not in reasons, "there was one"
        assert reasons.count(why) >= 4
        assert found.report["crossed"]["aims"] == {"generation": "mine"}
