"""The sizes of the main job: of the right kind, and named when they are not."""

import pytest

from harmcircuits.experiments.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attribution_triples": 1.5}, "attribution_triples must be a whole number of at least 1, not 1.5"),
        ({"seed": 2.5}, "seed must be a whole number of at least 0, not 2.5"),
        ({"seed": True}, "seed must be a whole number of at least 0, not True"),
        ({"seed": "a"}, "seed must be a whole number of at least 0, not 'a'"),
        ({"seed": None}, "seed must be a whole number of at least 0, not None"),
        ({"null_draws": float("inf")}, "null_draws must be a whole number of at least 0, not inf"),
        ({"margin": "0.05"}, "margin must be a number of at least 0.001 and at most 0.5, not '0.05'"),
        ({"head_fraction": True}, "head_fraction must be a number of at least 0 and at most 1, not True"),
        ({"head_fraction": None}, "head_fraction must be a number of at least 0 and at most 1, not None"),
        ({"margin": float("nan")}, "margin must be at least 0.001 and at most 0.5, not nan"),
    ],
    ids=str,
)
def test_a_value_of_another_kind_is_named_with_what_is_expected(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**wrong)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_the_seed_of_a_quick_run_is_checked_too() -> None:
    with pytest.raises(SettingsError, match="seed must be a whole number"):
        Settings.quick(seed=0.5)  # type: ignore[arg-type]


def test_a_whole_number_is_a_fraction_too() -> None:
    assert Settings(protect_heads=1, head_fraction=0).protect_heads == 1
