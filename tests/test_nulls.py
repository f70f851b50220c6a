"""The nulls, drawn again and measured by hand: the same circuits, the same rises and falls."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from triples import DEVELOPMENT, SETTINGS, TEST, TRAIN

from harmcircuits import store
from harmcircuits.ablation.hooks import ablated
from harmcircuits.components import Circuit
from harmcircuits.examples import Example, loss
from harmcircuits.experiments.instruments import Instruments, choose_instruments
from harmcircuits.experiments.nulls import KINDS, Nulls, measure_nulls, null_circuits
from harmcircuits.experiments.scores import Scores, default_circuits, respond, score, training_examples
from harmcircuits.experiments.settings import Settings
from harmcircuits.tasks.teacher_forced import teacher_forced

N = 3
SMALL = replace(SETTINGS, null_triples=N)


class Measured:
    """A circuit, its nulls, and all that they were drawn from and measured on."""

    def __init__(self, model: Any, primary: Any) -> None:
        examples, twins = training_examples(model, TRAIN, SMALL)
        heard = [example for example in respond(model, DEVELOPMENT, SMALL) if example.role != "far"]
        found = choose_instruments(model, TRAIN, DEVELOPMENT, twins, heard, SMALL)
        self.model = model
        self.instruments: Instruments = replace(found, primary=primary)
        self.scores: Scores = score(model, examples, twins, SMALL, aim=None)
        self.circuit: Circuit = default_circuits(model, self.scores, SMALL)["heads and neurons"]
        self.examples: list[Example] = respond(model, TEST, SMALL)
        self.nulls = self.measure(SMALL, instruments=self.instruments)

    def measure(self, settings: Settings, *, instruments: Instruments | None) -> Nulls:
        return measure_nulls(self.model, self.circuit, self.scores, self.examples, settings, instruments=instruments)

    def by_hand(self, circuit: Circuit | None) -> tuple[np.ndarray, np.ndarray]:
        """L and the primary reading of recognition, each [triple, harmful and near]; one example a batch."""
        chosen = [example for at, example in enumerate(self.examples) if at % 3 < 2][: 2 * N]
        with ablated(self.model, circuit):
            losses = torch.cat([loss(self.model, [example]) for example in chosen])
            asked = {"question": self.instruments.question, "probes": self.instruments.probes}
            frame = teacher_forced(self.model, chosen, {"here": None}, batch_size=1, **asked)
        read = frame[self.instruments.primary].to_numpy(dtype=float)
        return losses.numpy().reshape(-1, 2), read.reshape(-1, 2)

    def change(self, circuit: Circuit) -> tuple[np.ndarray, np.ndarray]:
        """The rise of L by triple and role, and the fall of harmful − near by triple."""
        (before, knew), (after, knows) = self.by_hand(None), self.by_hand(circuit)
        return after - before, (knew[:, 0] - knew[:, 1]) - (knows[:, 0] - knows[:, 1])


@pytest.fixture(scope="module", params=["in_place", "probe"])
def measured(request: pytest.FixtureRequest, tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("nulls-cache")))
        return Measured(tiny, request.param)


def test_each_draw_is_what_it_is_when_measured_by_hand(measured: Measured) -> None:
    draws = null_circuits(measured.circuit, measured.scores, SMALL)
    assert tuple(draws) == KINDS
    for kind, draw in draws.items():
        assert measured.nulls.rises[kind].shape == (SMALL.null_draws, N, 2)
        for at in range(SMALL.null_draws):
            rise, fall = measured.change(draw(SMALL.seed * 1000 + at))
            np.testing.assert_allclose(measured.nulls.rises[kind][at], rise, atol=1e-4)
            np.testing.assert_allclose(measured.nulls.falls[kind][at], fall, atol=1e-4)
            assert measured.nulls.selectivity(kind)[at] == pytest.approx((rise[:, 0] - rise[:, 1]).mean(), abs=1e-4)


def test_so_is_the_circuits_own_change(measured: Measured) -> None:
    rise, fall = measured.change(measured.circuit)
    np.testing.assert_allclose(measured.nulls.observed, rise, atol=1e-4)
    np.testing.assert_allclose(measured.nulls.observed_fall, fall, atol=1e-4)
    assert measured.nulls.observed_estimate.n == N


def test_without_draws_there_are_none_and_no_p_value(measured: Measured) -> None:
    found = measured.measure(replace(SMALL, null_draws=0), instruments=measured.instruments)
    assert {kind: rises.shape for kind, rises in found.rises.items()} == dict.fromkeys(KINDS, (0, N, 2))
    assert {falls.shape for falls in found.falls.values()} == {(0, N)}
    np.testing.assert_allclose(found.observed, measured.nulls.observed, atol=1e-5)
    assert found.p_value().reason == "fewer than 39 draws: 0"
    assert found.balance == {}


def test_without_instruments_rises_are_the_same_and_recognition_is_not_read(measured: Measured, tmp_path: Path) -> None:
    found = measured.measure(SMALL, instruments=None)
    np.testing.assert_allclose(found.observed, measured.nulls.observed, atol=1e-4)
    for kind in KINDS:
        np.testing.assert_allclose(found.rises[kind], measured.nulls.rises[kind], atol=1e-4)
    assert found.balance == measured.nulls.balance
    found.save(tmp_path / "n.safetensors")
    for nulls in (found, Nulls.load(tmp_path / "n.safetensors")):
        assert (nulls.falls, nulls.observed_fall.shape) == ({}, (0,))


def test_p_value_is_the_larger_of_both() -> None:
    """Of 39 draws, none reaches the observed selectivity of one kind, and all of the other."""
    observed = np.array([[1.0, 0.0], [1.2, 0.0]])
    low, high = np.zeros((39, 2, 2)), np.full((39, 2, 2), [2.0, 0.0])
    assert Nulls(observed, {"matched-random": low, "label-swap": low}).p_value().value == pytest.approx(1 / 40)
    assert Nulls(observed, {"matched-random": low, "label-swap": high}).p_value().value == 1


def test_saved_and_read_back(measured: Measured, tmp_path: Path) -> None:
    measured.nulls.save(tmp_path / "n.safetensors")
    loaded = Nulls.load(tmp_path / "n.safetensors")
    np.testing.assert_array_equal(loaded.observed_fall, measured.nulls.observed_fall)
    for kind in KINDS:
        np.testing.assert_array_equal(loaded.rises[kind], measured.nulls.rises[kind])
        np.testing.assert_array_equal(loaded.falls[kind], measured.nulls.falls[kind])
