"""Probes after every layer, before anything is written: the same as one layer, place and prompt at a time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn import floats
from tiny import tiny_bridge
from triples import make_triples

from harmcircuits.ablation.hooks import ablated
from harmcircuits.components import Circuit, outgoing
from harmcircuits.elicitation import elicit
from harmcircuits.examples import Prompt, chat_frame, encode
from harmcircuits.models import past
from harmcircuits.organisms import planted
from harmcircuits.tasks.formats import QUESTIONS
from harmcircuits.tasks.probe import fit_probe, place_residuals
from harmcircuits.tasks.probe_layers import BEFORE_THE_ANSWER, KINDS, LayerProbes, ProbeError, layer_probes
from harmcircuits.tasks.residual import residuals_kept

PROMPTS = make_triples(12).prompts
TRAIN, TEST = PROMPTS[:24], PROMPTS[24:]
TWINS = [prompt for prompt in TRAIN if prompt.role != "far"]
IS_HARMFUL = [prompt.role == "harmful" for prompt in TWINS]
CIRCUIT = Circuit(heads=[(0, 1), (1, 3)], neurons=[(0, 5), (1, 7)])
LATE = Circuit(heads=[(1, 0), (1, 1)], neurons=[(1, 9)])
CONDITIONS = {"intact": None, "cut": CIRCUIT}


def by_hand(model: Any, prompts: Sequence[Prompt], circuit: Circuit | None) -> torch.Tensor:
    """The residual stream [place, layer, prompt, d_model] from one unpadded row a prompt and place."""
    frame, found = chat_frame(model), []
    for prompt in prompts:
        request = [*frame.before, *encode(model, prompt.request)]
        for ids in (request, [*request, *frame.between]):
            with torch.no_grad(), ablated(model, circuit), residuals_kept(model, [0, 1]) as kept:
                model(torch.tensor([ids]), return_type="logits")
            found.append(torch.stack([kept[layer][0, -1] for layer in (0, 1)]))
    return torch.stack(found).unflatten(0, (len(prompts), 2)).permute(1, 2, 0, 3)


def check_by_hand(model: Any, train: Sequence[Prompt] = TRAIN, test: Sequence[Prompt] = TEST) -> None:
    found = layer_probes(model, train, test, CONDITIONS, batch_size=5)
    twins = [prompt for prompt in train if prompt.role != "far"]
    taught = {name: by_hand(model, twins, circuit) for name, circuit in CONDITIONS.items()}
    for name, circuit in CONDITIONS.items():
        tested = by_hand(model, test, circuit)
        for at, place in enumerate(BEFORE_THE_ANSWER):
            for layer in (0, 1):
                for kind in KINDS:
                    learnt = taught["intact" if kind == "trained intact" else name][at, layer]
                    probe = fit_probe(learnt, IS_HARMFUL, layer=layer, place=place)
                    expected = probe.score(tested[at, layer]).numpy()
                    np.testing.assert_allclose(found.of(name, kind, place, layer), expected, atol=1e-4)
    assert found.scores.shape == (2, 2, 2, 2, len(test))


def test_scores_are_those_of_one_layer_place_and_unpadded_prompt_at_a_time(tiny: Any) -> None:
    check_by_hand(tiny)


def test_what_all_requests_begin_with_is_read_once_and_changes_nothing(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    beginning, ending = "Please tell me: ", ", here or there"
    prompts = enumerate((*TRAIN, *TEST[:3]))
    alike = [replace(prompt, request=beginning + prompt.request + ending * (at % 5)) for at, prompt in prompts]
    shared = []
    read_past = past.read_past
    monkeypatch.setattr(past, "read_past", lambda model, tokens: shared.append(len(tokens)) or read_past(model, tokens))
    check_by_hand(tiny, alike[: len(TRAIN)], alike[len(TRAIN) :])
    assert min(shared) > len(encode(tiny, beginning)), "there is something to share"


def test_without_a_chat_template_too(hooked: bool, tmp_path: Path) -> None:
    check_by_hand(tiny_bridge(tmp_path, hooked=hooked, chat_template=False))


def test_they_are_those_of_the_same_places_before_a_response(tiny: Any) -> None:
    """Request and prompt end before the response, which cannot change them."""
    examples = elicit(tiny, [*TWINS, *TEST], max_new_tokens=4, cache=False)
    found = layer_probes(tiny, TRAIN, TEST, CONDITIONS)
    with ablated(tiny, CIRCUIT):
        residuals = place_residuals(tiny, examples, QUESTIONS[0], [0, 1])
    for place in BEFORE_THE_ANSWER:
        for layer in (0, 1):
            own = residuals[place][:, layer]
            probe = fit_probe(own[: len(TWINS)], IS_HARMFUL, layer=layer, place=place)
            expected = probe.score(own[len(TWINS) :]).numpy()
            np.testing.assert_allclose(found.of("cut", "retrained", place, layer), expected, atol=1e-4)


def test_trained_intact_is_retrained_where_nothing_is_ablated(tiny: Any) -> None:
    found = layer_probes(tiny, TRAIN, TEST, {"intact": None, "nothing": Circuit()})
    assert np.array_equal(found.scores[0, 0], found.scores[0, 1])
    np.testing.assert_allclose(found.scores[1], found.scores[0], atol=1e-4)


def test_the_intact_model_teaches_also_where_it_is_no_condition(tiny: Any) -> None:
    alone, beside = layer_probes(tiny, TRAIN, TEST, {"cut": CIRCUIT}), layer_probes(tiny, TRAIN, TEST, CONDITIONS)
    np.testing.assert_allclose(alone.scores[0], beside.scores[1], atol=1e-5)
    assert np.abs(alone.scores[0, 0] - alone.scores[0, 1]).max() > 1e-3, "the two kinds differ under an ablation"


def test_what_lies_above_a_probe_cannot_change_its_score(tiny: Any) -> None:
    found = layer_probes(tiny, TRAIN, TEST, {"intact": None, "late": LATE})
    np.testing.assert_allclose(found.scores[1, :, :, 0], found.scores[0, :, :, 0], atol=1e-5)
    assert np.abs(found.scores[1, :, :, 1] - found.scores[0, :, :, 1]).max() > 1e-3


def test_every_kind_of_condition_and_the_model_stays_as_it_was(tiny: Any) -> None:
    before = {name: parameter.clone() for name, parameter in tiny.named_parameters()}
    neuron = Circuit(neurons=[(0, 3)])
    conditions = {
        "neuron": neuron,
        "weights": outgoing(tiny, neuron),
    }
    found = layer_probes(tiny, TRAIN, TEST, conditions)
    np.testing.assert_allclose(found.scores[1], found.scores[0], atol=1e-4)
    assert all(torch.equal(parameter, before[name]) for name, parameter in tiny.named_parameters())


def test_batches_layers_and_places_change_nothing(tiny: Any) -> None:
    whole = layer_probes(tiny, TRAIN, TEST, CONDITIONS)
    single = layer_probes(tiny, TRAIN, TEST, CONDITIONS, batch_size=1)
    np.testing.assert_allclose(single.scores, whole.scores, atol=1e-4)
    part = layer_probes(tiny, TRAIN, TEST, CONDITIONS, layers=[1], places=["prompt"])
    np.testing.assert_allclose(part.of("cut", "retrained", "prompt", 1), whole.of("cut", "retrained", "prompt", 1), atol=1e-5)
    assert (part.layers, part.places) == ((1,), ("prompt",))
    np.testing.assert_array_equal(layer_probes(tiny, TWINS, TEST, CONDITIONS).scores, whole.scores, "far twins teach nothing")


def test_without_near_twins_other_benign_prompts_teach(tiny: Any) -> None:
    loose = [prompt for prompt in TRAIN if prompt.role != "near"]
    found = layer_probes(tiny, loose, TEST, {"intact": None})
    swapped = [Prompt(**{**vars(prompt), "role": "near" if prompt.role == "far" else prompt.role}) for prompt in loose]
    np.testing.assert_array_equal(found.scores, layer_probes(tiny, swapped, TEST, {"intact": None}).scores)


def test_a_planted_model_whose_heads_are_off_shows_nothing_at_the_last_token(hooked: bool) -> None:
    """Only heads move the verb's harm to the words after it; without them a harmful request and its near twin end alike."""
    organism = planted(hooked=hooked)
    train, _, test = organism.prompts.split(seed=0)
    heads = Circuit(heads=[(layer, head) for layer in range(3) for head in range(8)])
    found = layer_probes(
        organism.model, tuple(train), tuple(test)[:72], {"intact": None, "no heads": heads}, places=["request"]
    )
    table = found.table(draws=40).set_index(["condition", "kind", "layer"])["value"]
    assert table["intact", "trained intact", 2] > 0.95
    for kind in KINDS:
        assert table["no heads", kind, 2] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": TRAIN[:1]}, "two harmful and two benign training prompts; there are 1 and 0. Give whole triples"),
        ({"train": [prompt for prompt in TRAIN if prompt.role != "harmful"]}, "there are 0 and 8"),
        ({"test": []}, "no test prompts or no conditions.*Give at least one"),
        ({"conditions": {}}, "no test prompts or no conditions"),
        ({"layers": [0, 2]}, "no layer 2: its 2 layers are counted from 0"),
        ({"places": ["answer"]}, "can be read at 'request' and 'prompt', not 'answer': place_residuals"),
        ({"places": []}, "not nowhere"),
    ],
)
def test_errors_name_cause_and_cure(tiny: Any, change: dict[str, Any], message: str) -> None:
    options = {"train": TRAIN, "test": TEST, "conditions": {"intact": None}} | change
    positional = [options.pop(name) for name in ("train", "test", "conditions")]
    with pytest.raises(ProbeError, match=message):
        layer_probes(tiny, *positional, **options)


def result(scores: np.ndarray) -> LayerProbes:
    """One condition and place, two layers, the same scores by both kinds."""
    return LayerProbes(
        scores=np.stack([scores, scores])[None, :, None],
        conditions=("a<b",),
        places=("prompt",),
        layers=(3, 4),
        prompts=tuple(TEST),
    )


def test_the_table_holds_aurocs_over_triples() -> None:
    right = np.array([1.0 if prompt.role == "harmful" else -1.0 for prompt in TEST])
    table = result(np.stack([right, 0 * right])).table(draws=100)
    assert list(table.columns) == ["condition", "kind", "place", "layer", "value", "low", "high", "n"]
    assert table["kind"].tolist() == ["trained intact"] * 2 + ["retrained"] * 2
    bound = 0.025 ** (1 / (len(TEST) // 3 // 2))  # of a sample that is told apart without an error
    expected = [[1, bound, 1], [0.5, 0.5, 0.5]] * 2
    np.testing.assert_allclose(table[["value", "low", "high"]].to_numpy(), expected, err_msg="equal scores: one half")
    assert table["n"].tolist() == [len(TEST) // 3] * 4


def test_the_figure_has_a_line_a_condition_and_kind() -> None:
    right = np.array([1.0 if prompt.role == "harmful" else -1.0 for prompt in TEST])
    figure = result(np.stack([right, 0 * right])).figure()
    *bands, solid, dashed = figure.data
    assert [floats(band.y) for band in bands] == [[1, 0.5, 0.5, pytest.approx(0.025 ** (1 / (len(TEST) // 3 // 2)))]] * 2
    assert (solid.name, dashed.name) == ("a&lt;b, trained intact", "a&lt;b, retrained")
    assert floats(solid.x) == [3, 4] and floats(solid.y) == [1, 0.5]
    assert (solid.line.dash, dashed.line.dash) == ("solid", "dash")
    assert "at the prompt's last token" in figure.layout.annotations[0].text
    shown = result(np.stack([right, 0 * right]))._repr_html_()
    assert shown.count("<tr") == 5 and shown.count("<iframe") == 1 and "a&lt;b" in shown and "<b," not in shown
    assert repr(result(right[None])) == f"LayerProbes(1 condition × 1 place × 2 layers, {len(TEST)} prompts)"
