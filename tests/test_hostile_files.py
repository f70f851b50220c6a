"""Files of ours that somebody edited."""

import json
import logging
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_bridge

from harmcircuits import elicitation, store
from harmcircuits.attribution.scores import Attribution, AttributionError
from harmcircuits.attribution.weight_scores import FORMAT as WEIGHTS_FORMAT
from harmcircuits.attribution.weight_scores import WeightAttribution
from harmcircuits.components import Circuit, CircuitError, WeightMask
from harmcircuits.components.mask import FORMAT as MASK_FORMAT
from harmcircuits.components.mask import MaskError
from harmcircuits.elicitation import elicit
from harmcircuits.examples import Prompt
from harmcircuits.store.tensors import save_tensors

MATRIX = "blocks.0.mlp.in"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_bridge(tmp_path_factory.mktemp("model"))


# Circuits


def test_an_index_of_thousands_of_digits_is_told_in_short(tmp_path: Path, model: Any) -> None:
    path = tmp_path / "c.json"
    path.write_text(f'{{"format": "harmcircuits circuit 1", "heads": [[0, {"9" * 4000}]], "neurons": []}}')
    with pytest.raises(CircuitError, match=r"is not in this model, which has \d layers") as error:
        Circuit.load(path).check(model)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ('[[0, "1"]]', "changed since it was saved.*pairs .layer, index. of whole numbers"),
        ("[[0.5, 1]]", "whole numbers"),
        ("[[true, 0]]", "whole numbers"),
        ("[[0]]", "whole numbers"),
        ("[0, 1]", "whole numbers"),
        ('"01"', "whole numbers"),
        ("null", "whole numbers"),
        ("[[-1, 0]]", "counted from 0"),
    ],
)
def test_a_circuit_that_was_edited(tmp_path: Path, heads: str, message: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(f'{{"format": "harmcircuits circuit 1", "heads": {heads}, "neurons": []}}')
    with pytest.raises(CircuitError, match=message) as error:
        Circuit.load(path)
    assert str(path) in str(error.value) and "Save the circuit again" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": "harmcircuits circuit 1", "heads": [[NaN, 0]]}', "JSON has no NaN"),
        ('{"format": "harmcircuits circuit 1", "heads": [[1e999, 0]]', "not JSON|damaged or cut short"),
        ("[" * 100_000, "brackets nested too deep to read.*delete it and make it again"),
        ("9" * 5000, "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ("", "damaged or cut short"),
    ],
)
def test_a_circuit_file_that_is_no_json(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(store.StoreError, match=message) as error:
        Circuit.load(path)
    assert str(path) in str(error.value)


def test_a_circuit_with_a_component_twice_has_it_once(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"format": "harmcircuits circuit 1", "heads": [[0, 1], [0, 1]], "neurons": []}')
    assert Circuit.load(tmp_path / "c.json") == Circuit(heads=[(0, 1)])


def test_a_circuit_outside_the_model_is_refused_where_it_is_used(tmp_path: Path, model: Any) -> None:
    (tmp_path / "c.json").write_text('{"format": "harmcircuits circuit 1", "heads": [[999999999999, 0]], "neurons": []}')
    with pytest.raises(CircuitError, match="999999999999"):
        Circuit.load(tmp_path / "c.json").check(model)


# Masks and scores


def mask_file(path: Path, indices: torch.Tensor, about: object) -> Path:
    save_tensors(path, {MATRIX: indices}, format=MASK_FORMAT, about=about)
    return path


@pytest.mark.parametrize(
    ("indices", "about", "message"),
    [
        (torch.tensor([6]), {"shapes": {MATRIX: [2, 3]}}, "there is none of index 6"),
        (torch.tensor([-1]), {"shapes": {MATRIX: [2, 3]}}, "there is none of index -1"),
        (torch.tensor([0.5]), {"shapes": {MATRIX: [2, 3]}}, "named by whole numbers"),
        (torch.tensor([float("nan")]), {"shapes": {MATRIX: [2, 3]}}, "named by whole numbers"),
        (torch.tensor([0]), {"shapes": {}}, "of which no shape is given"),
        (torch.tensor([0]), {"shapes": {MATRIX: [2, "three"]}}, "three"),
        (torch.tensor([0]), {"shapes": {MATRIX: [2]}}, "changed since it was saved"),
        (torch.tensor([0]), {"shapes": {MATRIX: [-2, -3]}}, "at least one row and one column"),
        (torch.tensor([0]), {"shapes": [1]}, "changed since it was saved"),
        (torch.tensor([0]), {"other": 1}, "shapes"),
        (torch.tensor([0]), [], "changed since it was saved"),
    ],
)
def test_a_mask_that_was_edited(tmp_path: Path, indices: torch.Tensor, about: object, message: str) -> None:
    path = mask_file(tmp_path / "m.safetensors", indices, about)
    with pytest.raises(MaskError, match=message) as error:
        WeightMask.load(path)
    assert str(path) in str(error.value) and "Save the mask again" in str(error.value)


def test_a_mask_with_a_weight_twice_has_it_once(tmp_path: Path) -> None:
    path = mask_file(tmp_path / "m.safetensors", torch.tensor([4, 4, 1]), {"shapes": {MATRIX: [2, 3]}})
    assert WeightMask.load(path).indices[MATRIX].tolist() == [1, 4]


DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[:-5],
    "a header of 4 exabytes": lambda data: struct.pack("<Q", 2**62) + data[8:],
    "a header longer than the file": lambda data: struct.pack("<Q", 10**7) + data[8:],
    "a header of brackets": lambda data: struct.pack("<Q", 10**5) + b"[" * 10**5,
    "tensors outside the file": lambda data: data.replace(b'"data_offsets":[0,', b'"data_offsets":[9,'),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", [WeightMask, Attribution])
def test_a_damaged_safetensors_file(tmp_path: Path, damage: str, kind: Any) -> None:
    path = mask_file(tmp_path / "m.safetensors", torch.tensor([4]), {"shapes": {MATRIX: [2, 3]}})
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises((MaskError, AttributionError), match=r"cannot read .*m\.safetensors.*Save the .* again"):
        kind.load(path)


def test_notes_nested_deeply_in_a_header(tmp_path: Path) -> None:
    """What `save_tensors` cannot write, an editor can."""
    note = json.dumps({"__metadata__": {"format": MASK_FORMAT, "about": "[" * 100_000}}).encode()
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(note)) + note)
    with pytest.raises(MaskError, match=r"cannot read .*Save the weight mask again"):
        WeightMask.load(tmp_path / "m.safetensors")


def scores(**changed: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "per_example_heads": torch.ones(2, 1, 2),
        "per_example_neurons": torch.ones(2, 1, 3),
        "tokens": torch.empty(0, 2),
    } | changed


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_a_number_is_named(tmp_path: Path, value: float) -> None:
    heads = torch.ones(2, 1, 2)
    heads[1, 0, 1] = value
    save_tensors(tmp_path / "a.safetensors", scores(per_example_heads=heads), format="harmcircuits attribution 2", about=[])
    with pytest.raises(AttributionError, match=r"score of head \(0, 1\) on example 1 is not a number.*save the scores again"):
        Attribution.load(tmp_path / "a.safetensors")


def test_scores_that_were_edited(tmp_path: Path) -> None:
    whole = scores()
    del whole["per_example_neurons"]
    save_tensors(tmp_path / "a.safetensors", whole, format="harmcircuits attribution 2", about=[])
    with pytest.raises(AttributionError, match=r"changed since it was saved.*Save the scores again"):
        Attribution.load(tmp_path / "a.safetensors")
    save_tensors(tmp_path / "w.safetensors", scores(), format=WEIGHTS_FORMAT, about={"matrices": [MATRIX]})
    with pytest.raises(AttributionError, match=r"changed since it was saved.*Save the scores again"):
        WeightAttribution.load(tmp_path / "w.safetensors")


# Cached responses


@pytest.mark.parametrize(
    "edit",
    [
        lambda kept: kept["response_ids"][0].append(7),
        lambda kept: kept["response_ids"].reverse(),
        lambda kept: kept.update(response_ids="text"),
        lambda kept: kept.update(sha256=None),
        lambda kept: kept.pop("format"),
        lambda kept: kept.update(response_ids=[[float("nan")], [1]]),
    ],
)
def test_cached_responses_edited_by_hand_are_named_and_written_again(
    model: Any, caplog: pytest.LogCaptureFixture, edit: Callable[[dict[str, Any]], object]
) -> None:
    prompts = [Prompt(request="How do I bake bread?"), Prompt(request="What is the best way to learn?")]
    first = elicit(model, prompts, max_new_tokens=3)
    (path,) = (store.cache_dir() / "responses").iterdir()
    good = path.read_text()
    kept = json.loads(good)
    edit(kept)
    path.write_text(json.dumps(kept))
    with caplog.at_level(logging.WARNING, "harmcircuits"):
        assert elicit(model, prompts, max_new_tokens=3) == first
    assert f"the cached responses in {path} were changed since they were written" in caplog.text
    assert "eliciting again" in caplog.text and path.read_text() == good


def test_cached_responses_nested_deeply(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    prompts = [Prompt(request="How do I bake bread?")]
    first = elicit(model, prompts, max_new_tokens=3)
    (path,) = (store.cache_dir() / "responses").iterdir()
    path.write_text('{"format": ' + "[" * 100_000)
    assert elicit(model, prompts, max_new_tokens=3) == first
    assert "(it cannot be read (StoreError)): eliciting again" in caplog.text
    assert elicitation.FORMAT in path.read_text()
