"""Sizes of the experiment: of the right kind, and named when they are not."""

import pytest

from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.settings import Settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"train_prompts": 1.5},
        {"seed": "a"},
        {"seed": None},
        {"seed": -1},
        {"random_draws": float("inf")},
        {"retained": "0.8"},
        {"retained": float("nan")},
        {"protect_heads": 1.5},
        {"bootstrap_draws": 10},
        {"test_prompts": 0},
        {"max_benign_increase": -0.1},
        {"components": ("layers",)},
        {"components": ()},
        {"recipe": "paper"},
        {"head_fractions": ()},
    ],
    ids=str,
)
def test_a_value_that_makes_no_sense_is_named(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(HarmcircuitsError, match=name.removesuffix("s").replace("head_fraction", "size")):
        Settings(**wrong)  # type: ignore[arg-type]


def test_ends_are_included_and_a_quick_run_has_its_seed() -> None:
    assert Settings(shots=0, random_draws=0, facts=0, passages=0, protect_heads=1).protect_heads == 1
    assert Settings.quick(seed=3).seed == 3 and Settings.quick(seed=3).as_dict()["seed"] == 3
