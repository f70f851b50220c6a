"""The sizes of the main job: of the right kind, and named when they are not."""

from dataclasses import replace

import pytest

from harmcircuits.experiments.settings import PROPORTIONED, ClaimSettings, SettingsError

MAY_BE_0 = ("null_draws", "facts", "passages", "everyday")


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
        ClaimSettings(**wrong)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_the_seed_of_a_quick_run_is_checked_too() -> None:
    with pytest.raises(SettingsError, match="seed must be a whole number"):
        ClaimSettings.quick(seed=0.5)  # type: ignore[arg-type]


def test_a_whole_number_is_a_fraction_too() -> None:
    assert ClaimSettings(protect_heads=1, head_fraction=0).protect_heads == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"written_triples": 0},
        {"test_triples": -1},
        {"seed": -1},
        {"margin": 0.0},
        {"margin": 0.6},
        {"protect_heads": 1.5},
        {"shots": 1},
        {"null_draws": -1},
        {"bootstrap_draws": 10},
        {"head_fraction": float("nan")},
        {"prefill_tokens": -2},
        {"attribution_temperature": -0.1},
        {"weight_q": 1.5},
        {"weight_p": -0.1},
        {"many_shot_triples": 0},
        *({name: -1} for name in MAY_BE_0),
    ],
    ids=str,
)
def test_a_number_that_makes_no_sense_is_named_with_its_range(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(SettingsError, match=rf"{name} must be at least .*, not {wrong[name]}"):
        ClaimSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*MAY_BE_0, "weight_q", "prefill_tokens"])
def test_what_may_be_left_out(name: str) -> None:
    assert getattr(ClaimSettings(**{name: 0}), name) == 0


def test_the_ends_are_included() -> None:
    assert ClaimSettings(null_draws=0, shots=2, protect_heads=1.0, head_fraction=0.0, seed=0).null_draws == 0
    assert ClaimSettings.quick(seed=3).seed == 3


def test_fewer_triples_are_written_and_known_in_proportion() -> None:
    whole = replace(ClaimSettings(), everyday=0)
    half = whole.on(whole.test_triples // 2)
    changed = {name for name, value in half.as_dict().items() if value != whole.as_dict()[name]}
    assert changed == {"test_triples", *PROPORTIONED} - {"everyday"}, "what is left out stays so, and all else is as it was"
    assert all(getattr(half, name) == getattr(whole, name) // 2 for name in changed)
    assert whole.on(1).written_triples == 1
    with pytest.raises(SettingsError, match="test_triples must be at least 1, not 0"):
        whole.on(0)
