"""Conditions measured by an executor: the numbers of one process, in one cache."""

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import tiny_model_folder
from triples import OWN, make_mask
from written import PROMPTS, written

import harmcircuits as hc
from harmcircuits.errors import HarmcircuitsError
from harmcircuits.experiment.measure import Cache, measure
from harmcircuits.readings.compliance import Compliance
from harmcircuits.readings.loss import Loss


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model_folder(tmp_path / "tiny")


@pytest.fixture(params=["processes", "threads"])
def pool(request: pytest.FixtureRequest) -> Iterator[Executor]:
    threads = request.param == "threads"
    with ThreadPoolExecutor(2) if threads else ProcessPoolExecutor(2, mp_context=get_context("spawn")) as made:
        yield made


def plan_for(model: Any) -> dict[hc.Condition, list[Any]]:
    loss, compliance = Loss(tuple(written(model.tokenizer))), Compliance(tuple(PROMPTS), max_new_tokens=4)
    masked = hc.Condition("mask", make_mask(model), labels={"component": "weights"})
    return {hc.Condition("baseline"): [loss, compliance], hc.Condition("own", OWN): [loss, compliance], masked: [loss]}


def test_jobs_give_the_numbers_of_one_process_and_share_its_cache(
    pool: Executor, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = partial(hc.load_model, folder, device="cpu")
    plan = plan_for(recipe())
    there = measure(recipe, plan, cache=tmp_path / "out", executor=pool)
    with monkeypatch.context() as patch:
        patch.setattr(Loss, "read", lambda *_: pytest.fail("it was measured before"))
        again = measure(recipe(), plan, cache=tmp_path / "out")
    here = measure(recipe, plan)
    for outcomes in (again, here):
        pd.testing.assert_frame_equal(there.frame, outcomes.frame)
        pd.testing.assert_frame_equal(there.texts, outcomes.texts)


def test_what_cannot_be_sent_is_named(folder: Path, tmp_path: Path) -> None:
    model = hc.load_model(folder, device="cpu")
    with ThreadPoolExecutor(1) as pool:
        for loaded, cache in ((model, None), (lambda: model, Cache())):
            with pytest.raises(HarmcircuitsError, match="cannot be sent to an executor"):
                measure(loaded, [hc.Condition("baseline")], cache=cache, executor=pool)
        with pytest.raises(HarmcircuitsError, match="no such file or folder"):  # a job's error is the run's
            missing = partial(hc.load_model, tmp_path / "nothing")
            measure(missing, plan_for(model), executor=pool)
