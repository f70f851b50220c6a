"""The nulls, drawn again and measured by hand: the same circuits, the same rises."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from triples import SETTINGS, TEST, TRAIN

from harmcircuits import store
from harmcircuits.ablation.hooks import ablated
from harmcircuits.components import Circuit
from harmcircuits.examples import Example, loss
from harmcircuits.experiments.nulls import KINDS, Nulls, measure_nulls, null_circuits
from harmcircuits.experiments.scores import Scores, default_circuits, respond, score, training_examples
from harmcircuits.experiments.settings import Settings

N = 3
SMALL = replace(SETTINGS, null_triples=N)


class Measured:
    """A circuit, its nulls, and all that they were drawn from and measured on."""

    def __init__(self, model: Any) -> None:
        examples, twins = training_examples(model, TRAIN, SMALL)
        self.model = model
        self.scores: Scores = score(model, examples, twins, SMALL, aim=None)
        self.circuit: Circuit = default_circuits(model, self.scores, SMALL)["heads and neurons"]
        self.examples: list[Example] = respond(model, TEST, SMALL)
        self.nulls = self.measure(SMALL)

    def measure(self, settings: Settings) -> Nulls:
        return measure_nulls(self.model, self.circuit, self.scores, self.examples, settings)

    def by_hand(self, circuit: Circuit | None) -> np.ndarray:
        """L, [triple, harmful and near]; one example a batch."""
        chosen = [example for at, example in enumerate(self.examples) if at % 3 < 2][: 2 * N]
        with ablated(self.model, circuit):
            return torch.cat([loss(self.model, [example]) for example in chosen]).numpy().reshape(-1, 2)

    def change(self, circuit: Circuit) -> np.ndarray:
        """The rise of L by triple and role."""
        return self.by_hand(circuit) - self.by_hand(None)


@pytest.fixture(scope="module")
def measured(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("nulls-cache")))
        return Measured(tiny)


def test_each_draw_is_what_it_is_when_measured_by_hand(measured: Measured) -> None:
    draws = null_circuits(measured.circuit, measured.scores, SMALL)
    assert tuple(draws) == KINDS
    for kind, draw in draws.items():
        assert measured.nulls.rises[kind].shape == (SMALL.null_draws, N, 2)
        for at in range(SMALL.null_draws):
            rise = measured.change(draw(SMALL.seed * 1000 + at))
            np.testing.assert_allclose(measured.nulls.rises[kind][at], rise, atol=1e-4)
            assert measured.nulls.selectivity(kind)[at] == pytest.approx((rise[:, 0] - rise[:, 1]).mean(), abs=1e-4)


def test_so_is_the_circuits_own_change(measured: Measured) -> None:
    np.testing.assert_allclose(measured.nulls.observed, measured.change(measured.circuit), atol=1e-4)
    assert measured.nulls.observed_estimate.n == N


def test_without_draws_there_are_none_and_no_p_value(measured: Measured) -> None:
    found = measured.measure(replace(SMALL, null_draws=0))
    assert {kind: rises.shape for kind, rises in found.rises.items()} == dict.fromkeys(KINDS, (0, N, 2))
    np.testing.assert_allclose(found.observed, measured.nulls.observed, atol=1e-5)
    assert found.p_value().reason == "fewer than 39 draws: 0"


def test_p_value_is_the_larger_of_both() -> None:
    """Of 39 draws, none reaches the observed selectivity of one kind, and all of the other."""
    observed = np.array([[1.0, 0.0], [1.2, 0.0]])
    low, high = np.zeros((39, 2, 2)), np.full((39, 2, 2), [2.0, 0.0])
    assert Nulls(observed, {"matched-random": low, "label-swap": low}).p_value().value == pytest.approx(1 / 40)
    assert Nulls(observed, {"matched-random": low, "label-swap": high}).p_value().value == 1


def test_saved_and_read_back(measured: Measured, tmp_path: Path) -> None:
    measured.nulls.save(tmp_path / "n.safetensors")
    loaded = Nulls.load(tmp_path / "n.safetensors")
    np.testing.assert_array_equal(loaded.observed, measured.nulls.observed)
    for kind in KINDS:
        np.testing.assert_array_equal(loaded.rises[kind], measured.nulls.rises[kind])
