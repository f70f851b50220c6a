"""Nothing moves: scores, circuits, masks, losses, exported logits and the main job's numbers are those of tests/golden/."""

from pathlib import Path
from typing import Any

import pytest
import torch
from golden_numbers import MODELS, golden_numbers, read_golden

TOLERANCE = {"tiny": 1e-5, "planted": 1e-4}
"""Absolute and relative. The planted model's weights are large: float32 sums in another order differ by up to 9e-5 there."""


def leaves(tree: Any, path: str = "") -> dict[str, float]:
    """Numbers of a JSON tree by path; intervals that were not estimated are none."""
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {key: leaf for name, part in items for key, leaf in leaves(part, f"{path}/{name}").items()}
    return {} if tree is None else {path: tree}


@pytest.mark.model
@pytest.mark.parametrize("name", MODELS)
def test_golden_numbers_do_not_move(name: str, hooked: bool, tmp_path: Path) -> None:
    (tensors, found), (golden, expected) = golden_numbers(name, tmp_path, hooked=hooked), read_golden(name)
    assert golden.keys() - tensors.keys() == ({"exported logits"} if hooked else set())
    for key, value in tensors.items():
        close = {"atol": TOLERANCE[name], "rtol": TOLERANCE[name]}
        torch.testing.assert_close(value, golden[key], **close, msg=lambda why, key=key: f"{key}: {why}")
    for key in ("circuit", "mask", "verdict"):
        assert found[key] == expected[key], key
    for key in ("outcomes", "estimates"):
        assert leaves(found[key]) == pytest.approx(leaves(expected[key]), abs=TOLERANCE[name], rel=TOLERANCE[name])
