"""Conditions from anywhere: another checkpoint in the model's place, and hooks of one's own."""

from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
import torch
from tiny import tiny_model, tiny_model_folder, tiny_tokenizer
from transformers import AutoModelForCausalLM
from triples import OWN, TEST
from written import written

import harmcircuits as hc
from harmcircuits.ablation.ablate import ablated
from harmcircuits.ablation.in_place import masks_in_force
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.measure import Cache, measure
from harmcircuits.organisms.hand_wired import hand_wired
from harmcircuits.readings.compliance import Compliance
from harmcircuits.readings.loss import Loss
from harmcircuits.readings.recognition import Recognition

BASELINE = hc.Condition("baseline")
TOKENS = torch.arange(5, 65).reshape(2, 30)


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(TOKENS, return_type="logits")


def readings(model: Any) -> list[Any]:
    prompts = TEST.prompts[:6]
    return [Loss(tuple(written(model.tokenizer))), Recognition(prompts), Compliance(prompts, max_new_tokens=6)]


def equal(outcomes: hc.Outcomes, first: str, second: str, *, atol: float) -> bool:
    """Whether every measure has the same values under both, and another one than the baseline somewhere."""
    wide = outcomes.frame.pivot(index=["measure", "item"], columns="condition", values="value")
    assert not np.allclose(wide[first], wide["baseline"], atol=atol)
    return bool(np.allclose(wide[first], wide[second], atol=atol))


@pytest.mark.model
@pytest.mark.parametrize("name", families.MODELS)
def test_in_the_models_place_a_checkpoint_is_itself_and_every_bit_comes_back(name: str) -> None:
    model, other = families.bridge_around(name, families.random_model(name)), families.random_model(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    before = {key: parameter.clone() for key, parameter in model.named_parameters()}
    intact, expected = logits(model), logits(families.bridge_around(name, other))
    condition = hc.Condition.from_checkpoint(other, tokenizer=tiny_tokenizer(), device="cpu")
    with pytest.raises(KeyError), condition.ablated(model):
        assert torch.equal(logits(model), expected) and not torch.equal(intact, expected)
        assert masks_in_force(model) == 1
        with ablated(model, OWN):
            assert not torch.equal(logits(model), expected), "a circuit is ablated in the checkpoint"
        raise KeyError
    assert masks_in_force(model) == 0 and torch.equal(logits(model), intact)
    assert all(torch.equal(parameter, before[key]) for key, parameter in model.named_parameters())


@pytest.mark.model
def test_an_export_in_the_models_place_reads_as_the_circuit_does(folder: Path, tmp_path: Path) -> None:
    model = hc.load_model(folder, device="cpu")
    hc.export(model, OWN, tmp_path / "pruned")
    pruned = hc.Condition.from_checkpoint(tmp_path / "pruned", device="cpu")
    assert pruned.name == "pruned" and pruned.labels["checkpoint"] == str(tmp_path / "pruned")
    outcomes = measure(model, [BASELINE, hc.Condition("circuit", OWN), pruned], readings(model))
    assert equal(outcomes, "circuit", "pruned", atol=1e-4)


@pytest.mark.model
def test_an_adapter_reads_as_the_model_that_it_is_merged_into(folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config).save_pretrained(tmp_path / "adapter")
    model, condition = hc.load_model(folder, device="cpu"), hc.Condition.from_checkpoint(tmp_path / "adapter", device="cpu")
    merged = hc.load_model(tmp_path / "adapter", device="cpu")
    every = readings(model)
    outcomes = measure(model, [BASELINE, condition], every)
    for reading in every:
        alone = reading.read(merged, BASELINE).drop(columns=["item", "response_ids"], errors="ignore")
        for measured in alone:
            np.testing.assert_allclose(outcomes.values("adapter", measured), alone[measured], atol=1e-5)


@pytest.mark.model
def test_the_cache_knows_a_checkpoint_by_its_weights(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, read = [], Loss.read
    monkeypatch.setattr(
        Loss, "read", lambda self, model, condition: count.append(condition.name) or read(self, model, condition)
    )
    hooked = type(tiny).__name__ == "HookedTransformer"
    folders = [tiny_model_folder(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("same", 1), ("b", 2))]
    conditions = [hc.Condition.from_checkpoint(each, device="cpu", hooked=hooked) for each in folders]
    outcomes = measure(tiny, conditions, [Loss(tuple(written(tiny.tokenizer)))], cache=Cache.at(tiny, tmp_path / "run"))
    assert count == ["a", "b"]
    np.testing.assert_array_equal(outcomes.values("a", "loss"), outcomes.values("same", "loss"))


@pytest.mark.parametrize(
    ("settings", "tokenizer", "options", "says"),
    [
        ({"d_mlp": 32}, tiny_tokenizer, {}, r"intermediate_size 32 ≠ 64"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}}, tiny_tokenizer, {}, r"rope_parameters .*5\.0"),
        ({}, lambda: renamed(tiny_tokenizer()), {}, r"another tokenizer"),
        ({}, tiny_tokenizer, {"dtype": torch.bfloat16}, r"load it with dtype=torch\.float32"),
    ],
)
def test_another_model_is_refused(folder: Path, settings: Any, tokenizer: Any, options: Any, says: str, tmp_path: Path) -> None:
    model = hc.load_model(folder, device="cpu")
    tiny_model(**settings).save_pretrained(tmp_path / "other")
    tokenizer().save_pretrained(tmp_path / "other")
    condition = hc.Condition.from_checkpoint(tmp_path / "other", device="cpu", **options)
    with pytest.raises(HarmcircuitsError, match=says), condition.ablated(model):
        pass
    with pytest.raises(HarmcircuitsError, match=says):
        hc.dissociate(model, condition, TEST)


def renamed(tokenizer: Any) -> Any:
    tokenizer.add_tokens(["another"])
    return tokenizer


# Hooks


def test_hooks_read_as_the_circuit_that_they_zero_and_are_cached_by_their_label(tiny: Any, tmp_path: Path) -> None:
    named = hc.Condition.from_hooks("named", OWN.hooks(tiny), label="zero OWN")
    nameless = hc.Condition.from_hooks("nameless", OWN.hooks(tiny))
    assert nameless.key is None and named.key != hc.Condition.from_hooks("named", OWN.hooks(tiny), label="other").key
    cache = Cache.at(tiny, tmp_path)
    outcomes = measure(tiny, [BASELINE, hc.Condition("circuit", OWN), named], readings(tiny), cache=cache)
    assert equal(outcomes, "circuit", "named", atol=1e-5)
    files = len([*tmp_path.rglob("*.json")])
    again = measure(tiny, [BASELINE, named, nameless], readings(tiny), cache=cache)
    assert equal(again, "named", "nameless", atol=0) and len([*tmp_path.rglob("*.json")]) == files


def test_a_hook_point_that_is_not_there_is_an_error(tiny: Any) -> None:
    with (
        pytest.raises(HarmcircuitsError, match=r"no hook point 'blocks\.9"),
        hc.Condition.from_hooks("far", [("blocks.9.hook_resid_post", lambda value, hook: value)]).ablated(tiny),
    ):
        pass


# Against another checkpoint, without attribution

SMALL = hc.Settings(
    facts=0, passages=0, sampled=False, test_prompts=32, written_prompts=4, max_new_tokens=8, written_tokens=6, shots=0,
    development_prompts=12, train_prompts=24,
)  # fmt: skip


@pytest.fixture(scope="module")
def planted() -> Any:
    return hc.organisms.planted(0)


@pytest.mark.model
def test_the_answer_against_a_pruned_checkpoint_says_what_it_rests_on(planted: Any, tmp_path: Path) -> None:
    hc.export(planted.model, planted.writing, tmp_path / "pruned")
    pruned = hc.Condition.from_checkpoint(tmp_path / "pruned", device="cpu")
    train, development, test = planted.prompts.split(seed=0)
    sets: dict[str, Any] = {"train": train, "development": development, "settings": SMALL}
    run = hc.dissociate(planted.model, pruned, test, **sets)
    circuit = hc.dissociate(planted.model, planted.writing, test, **sets)
    for effect, role in (("loss_increase", "harmful"), ("loss_increase", "near"), ("recognition_auroc_change", "near")):
        assert run.estimate("pruned", effect, role).value == pytest.approx(
            circuit.estimate("circuit", effect, role).value, abs=1e-4
        )
    assert circuit.answer == "dissociated" and run.answer == "undecided"
    assert "without controls (no loss increase beyond random, no recognition change when aimed at)" in run.sentences[-1]
    assert run.sentences[-1].endswith("all else that dissociated needs is shown")
    assert run.sentences[0].startswith("Under pruned, the loss of harmful responses rises by")
    again = hc.Dissociation.load(run.save(tmp_path / "run"))
    assert again.answer == run.answer and not again.circuits and {*again.figures()} == {"plane", "effects", "polarity"}
    assert again.report["conditions"][1]["labels"]["checkpoint"] == str(tmp_path / "pruned")


@pytest.mark.model
def test_a_direction_projected_out_of_the_weights_reads_as_out_of_the_residual_stream(planted: Any) -> None:
    """A fixture of measurement: nothing of the package writes such a checkpoint."""
    ends = []
    for examples in (planted.harmful, planted.near):
        rows = [planted.model.tokenizer(each.request, return_tensors="pt").input_ids for each in examples[:8]]
        with torch.no_grad():
            residual = [planted.model.run_with_cache(row)[1]["blocks.1.hook_resid_post"][0, -1] for row in rows]
        ends.append(torch.stack(residual).mean(0))
    direction = torch.nn.functional.normalize(ends[0] - ends[1], dim=0)
    tokenizer, plain = planted.model.tokenizer, hand_wired(variant="plain", seed=0)[0]
    with torch.no_grad():
        plain.model.embed_tokens.weight -= torch.outer(plain.model.embed_tokens.weight @ direction, direction)
        for layer in plain.model.layers:
            for matrix in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
                matrix -= torch.outer(direction, direction @ matrix)
    project = lambda value, hook: value - (value @ direction)[..., None] * direction
    points = ["hook_embed", *(f"blocks.{at}.hook_{part}_out" for at in range(3) for part in ("attn", "mlp"))]
    conditions = [
        BASELINE,
        hc.Condition.from_checkpoint(plain, name="weights", tokenizer=tokenizer, device="cpu"),
        hc.Condition.from_hooks("stream", [(point, project) for point in points]),
    ]
    prompts = planted.prompts.prompts[:12]
    every = [Loss(tuple(planted.harmful)), Recognition(prompts), Compliance(prompts, max_new_tokens=6)]
    assert equal(measure(planted.model, conditions, every), "weights", "stream", atol=1e-3)
