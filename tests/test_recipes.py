"""Selection recipes of the field: what they rank first where it is known, and all of them at one benign cost."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_bridge
from triples import DEVELOPMENT, RUN, TEST, TRAIN
from written import written

import harmcircuits as hc
from harmcircuits.circuits.recipes import RECIPES
from harmcircuits.circuits.recipes.scoring import neuron_activations, without_answer
from harmcircuits.circuits.selection import select
from harmcircuits.circuits.weight_selection import WeightSelection, weight_masks
from harmcircuits.data import example_rows
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment import dissociation

pytestmark = pytest.mark.model


@pytest.fixture(scope="module", params=[0, 1])
def planted(request: pytest.FixtureRequest) -> hc.organisms.Planted:
    return hc.organisms.planted(request.param)


# What they rank first


@pytest.mark.parametrize("recipe", ["contrastive", "activation difference"])
def test_what_differs_by_request_recognises_harm(planted: hc.organisms.Planted, recipe: str) -> None:
    """The planted neurons that tell harm from kindness come first, before those that write it."""
    scores = RECIPES[recipe](planted.model, planted.harmful, planted.near)
    first = select(scores, neurons=len(planted.recognising.neurons))
    assert first.neurons == planted.recognising.neurons


def test_neurons_that_write_harm_differ_while_it_is_written(planted: hc.organisms.Planted) -> None:
    while_read, before = (
        RECIPES[name](planted.model, planted.harmful, planted.near) for name in ("activation difference", "contrastive")
    )
    place = tuple(torch.tensor(planted.writing.neurons).T)
    assert while_read.neurons[place].min() > 1 and before.neurons[place].max() < 0.1


def test_the_head_that_recognises_harm_moves_the_first_token_most(planted: hc.organisms.Planted) -> None:
    scores = RECIPES["head KL"](planted.model, planted.harmful[:4], planted.near)
    assert select(scores, heads=1).heads == planted.recognising.heads


# What they are


def test_the_divergence_of_a_head_is_that_of_two_passes(tiny: Any) -> None:
    examples = written(tiny.tokenizer)[:2]
    scores = RECIPES["head KL"](tiny, examples, ())
    for index, (example, row) in enumerate(zip(examples, example_rows(tiny, without_answer(examples)), strict=True)):
        assert len(example_rows(tiny, [example])[0]) > len(row)
        tokens = torch.tensor([row.tokens[:-1]])
        with torch.no_grad():
            baseline = tiny(tokens, return_type="logits")[0, -1].log_softmax(-1)
            with hc.ablated(tiny, hc.Circuit(heads=[(1, 2)])):
                ablated = tiny(tokens, return_type="logits")[0, -1].log_softmax(-1)
        expected = (baseline.exp() * (baseline - ablated)).sum().item()
        assert scores.per_example_heads[index, 1, 2].item() == pytest.approx(expected, abs=1e-5)


def test_activations_are_those_that_predict_each_token(tiny: Any) -> None:
    examples = written(tiny.tokenizer)
    for index, activations in neuron_activations(tiny, examples):
        (row,) = example_rows(tiny, [examples[index]])
        with torch.no_grad():
            _, cache = tiny.run_with_cache(torch.tensor([row.tokens]))
        expected = torch.stack([cache[f"blocks.{layer}.mlp.hook_post"][0, row.start - 1 : row.stop - 1] for layer in (0, 1)])
        torch.testing.assert_close(activations, expected, atol=1e-5, rtol=1e-4)


def test_the_same_responses_after_the_same_requests_do_not_differ(tiny: Any) -> None:
    examples = written(tiny.tokenizer)[:2]
    assert RECIPES["activation difference"](tiny, examples, examples).neurons.abs().max() < 1e-4
    assert RECIPES["contrastive"](tiny, examples, examples).neurons.abs().max() < 1e-5


def test_unsigned_masks_are_the_set_difference_of_absolute_scores(tiny: Any) -> None:
    examples = written(tiny.tokenizer)
    harmful, benign = examples[:2], examples[2:]
    (mask,) = weight_masks(tiny, [(harmful, None), (benign, None)], [WeightSelection(0.01, 0.05, "unsigned")])
    U, V = (hc.attribute_weights(tiny, part).absolute for part in (harmful, benign))
    largest = lambda scores, share: {*scores.flatten().topk(int(share * scores.numel())).indices.tolist()}
    assert mask is not None
    for name in U:
        assert {*mask.indices[name].tolist()} == largest(U[name], 0.01) - largest(V[name], 0.05)


# All of them at one benign cost


def test_every_recipe_stands_on_one_table_at_the_nearest_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dissociation, "_nothing_to_lose", lambda effects: "")
    model = tiny_bridge(tmp_path / "model", n_heads=8, n_kv=8)
    settings = hc.RecipeSettings(
        **vars(RUN) | {"head_fractions": (0.1, 0.2, 0.4), "neuron_fractions": (0.01, 0.05, 0.2), "max_benign_increase": 0.2},
    )
    run = lambda: hc.compare_recipes(
        model, TEST, train=TRAIN, development=DEVELOPMENT, settings=settings, folder=tmp_path / "run"
    )
    result = run()
    circuits = ["first-order", "activation difference", "contrastive", "head KL", "released", "global", "unsigned", "random"]
    assert {name.rpartition(" ")[0] for name in result.circuits} == {*circuits}
    assert {name for name in result.circuits if name.endswith(" heads")} == {
        "first-order heads",
        "head KL heads",
        "random heads",
    }
    for _, tried in result.sweep.groupby("component"):
        distance = (tried["far"] - settings.max_benign_increase).abs()
        assert tried["chosen"].sum() == 1 and distance[tried["chosen"]].item() == distance.min()
    for name in result.circuits:
        assert not result.estimate(name, "complied", "harmful").is_missing, "random circuits are read in full too"
    assert not result.estimate("contrastive neurons", "loss_increase_beyond_random (matched)").is_missing
    assert {name.partition(":")[0] for name in result.controls} == {
        "first-order heads",
        "first-order neurons",
        "released weights",
    }
    for name in RECIPES:
        monkeypatch.setitem(RECIPES, name, lambda *_: pytest.fail("scored again"))
    again = run()
    assert json.dumps(again.report | {"seconds": 0}) == json.dumps(result.report | {"seconds": 0})


def test_a_cost_needs_development_prompts(tiny: Any) -> None:
    with pytest.raises(HarmcircuitsError, match="give development= beside train="):
        hc.compare_recipes(tiny, TEST, train=TRAIN)
