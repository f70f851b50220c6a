"""The battery: whatever it reads under a condition is what the task says when it is called by hand under that condition."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from triples import DEVELOPMENT, OWN, SETTINGS, TRAIN, make_mask

from harmcircuits import store
from harmcircuits.ablation.ablate import Ablation, ablated
from harmcircuits.data import load_prompts, loss
from harmcircuits.experiments.asked import Asked, lay_out
from harmcircuits.experiments.battery import Outcomes, read_conditions
from harmcircuits.experiments.instruments import choose_instruments
from harmcircuits.experiments.scores import chosen_triples, respond, training_examples
from harmcircuits.models.model_key import model_hash
from harmcircuits.readings.information import swapped_requests
from harmcircuits.tasks.recognition import many_shot
from harmcircuits.tasks.refusal import everyday, refusals
from harmcircuits.tasks.teacher_forced import teacher_forced
from harmcircuits.tasks.utility import utility
from harmcircuits.tasks.writing import read_texts, write

N = 6
SIZES = {"many_shot_triples": 5, "written_triples": 3, "everyday": 3}
LARGE = replace(SETTINGS, **SIZES)  # type: ignore[arg-type]
CLOSE: dict[str, float] = {"atol": 2e-4, "rtol": 1e-3}


@dataclass(frozen=True, eq=False)
class Read:
    model: Any
    asked: Asked
    conditions: dict[str, Ablation]
    outcomes: Outcomes
    hashes: tuple[str, str]

    def rows(self, name: str) -> pd.DataFrame:
        frame = self.outcomes.frame
        return frame[frame["condition"] == name].reset_index(drop=True)


@pytest.fixture(scope="module")
def read(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Built-in triples; instruments from a few others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(store.CACHE_VARIABLE, str(tmp_path_factory.mktemp("battery-cache")))
        prompts = chosen_triples(load_prompts(), N, seed=0)
        twins = training_examples(tiny, TRAIN, LARGE)[1]
        heard = [example for example in respond(tiny, DEVELOPMENT, LARGE) if example.role != "far"]
        instruments = choose_instruments(tiny, TRAIN, DEVELOPMENT, twins, heard, LARGE)
        asked = lay_out(prompts, respond(tiny, prompts, LARGE), instruments, LARGE)
        conditions: dict[str, Ablation] = {"circuit": OWN, "mask": make_mask(tiny)}
        before = model_hash(tiny)
        outcomes = read_conditions(tiny, asked, conditions)
        return Read(tiny, asked, conditions, outcomes, (before, model_hash(tiny)))


def together(model: Any, asked: Asked) -> dict[str, Any]:
    found = teacher_forced(
        model, asked.examples, {"here": None}, question=asked.instruments.question, probes=asked.instruments.probes
    )
    return {"nll": loss(model, asked.examples)} | {column: found[column] for column in ("in_place", "probe", "probe_request")}


def other_requests(model: Any, asked: Asked) -> dict[str, Any]:
    some = [at for at in range(3 * N) if at % 3 < 2]
    losses = loss(model, swapped_requests([asked.examples[at] for at in some], seed=asked.settings.seed))
    return {"nll_other": placed(some, losses)}


def shots(model: Any, asked: Asked) -> dict[str, Any]:
    some = range(3 * asked.settings.many_shot_triples)
    assert asked.instruments.shots is not None
    odds = many_shot(model, [asked.prompts[at] for at in some], asked.instruments.shots)
    return {"many_shot": placed(some, odds)}


def refusal(model: Any, asked: Asked) -> dict[str, Any]:
    found = refusals(model, [asked.prompts[at] for at in asked.twins], **sampled(asked))
    return {"refused": placed(asked.twins, found["refused"])}


def placed(some: Any, values: Any) -> np.ndarray:
    found = np.full(3 * N, np.nan)
    found[list(some)] = np.asarray(values, dtype=float)
    return found


def sampled(asked: Asked) -> dict[str, int]:
    return {"max_new_tokens": asked.settings.max_new_tokens, "seed": asked.settings.seed + 1}


NAMES = ["intact", "circuit", "mask"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", [together, other_requests, shots, refusal])
def test_each_column_is_what_its_task_says_by_hand(read: Read, name: str, task: Callable[..., dict[str, Any]]) -> None:
    with ablated(read.model, read.conditions.get(name)) as model:
        expected = task(model, read.asked)
    for column, values in expected.items():
        np.testing.assert_allclose(read.rows(name)[column].to_numpy(dtype=float), values, err_msg=column, **CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_free_writing_is_written_under_the_condition(read: Read, name: str) -> None:
    twins = read.asked.twins
    with ablated(read.model, read.conditions.get(name)) as model:
        texts = write(model, [read.asked.prompts[at] for at in twins], **sampled(read.asked))
    rules = read_texts(texts)
    for column in ("on_task", "refusal", "degenerate"):
        np.testing.assert_array_equal(read.rows(name)[column], placed(twins, rules[column]))
    said = read.outcomes.responses
    assert said.loc[said["condition"] == name, "response"].tolist() == rules["response"].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_items_are_what_their_tasks_say_by_hand(read: Read, name: str) -> None:
    with ablated(read.model, read.conditions.get(name)) as model:
        known = utility(model, n_facts=LARGE.facts, n_passages=LARGE.passages)
        asked = [one for both in zip(everyday("money"), everyday("sounds-harmful"), strict=False) for one in both][:3]
        declined = refusals(model, asked, **sampled(read.asked))
    for kind in ("fact", "passage"):
        found = read.outcomes.of_items(name, kind)
        for column in ("item", "nll", "right", "margin"):
            np.testing.assert_allclose(found[column], known.loc[known["kind"] == kind, column], **CLOSE)
    daily = read.outcomes.of_items(name, "everyday")
    assert daily["refused"].tolist() == declined["refused"].tolist()
    assert daily["topic"].tolist() == ["money", "sounds-harmful", "money"]


def test_the_order_of_conditions_does_not_matter(read: Read) -> None:
    turned = read_conditions(read.model, read.asked, dict(reversed(read.conditions.items())))
    assert turned.frame["condition"].drop_duplicates().tolist() == ["intact", "mask", "circuit"]
    for name in NAMES:
        own, other = read.outcomes.by_triple(name), turned.by_triple(name)
        assert own.keys() == other.keys()
        for column, values in own.items():
            np.testing.assert_allclose(other[column], values, err_msg=column, **CLOSE)
    assert turned.categories() == read.outcomes.categories()


def test_triples_lie_in_order_with_who_they_are(read: Read) -> None:
    for name in NAMES:
        for column in ("group", "category", "role"):
            assert read.rows(name)[column].tolist() == [getattr(prompt, column) for prompt in read.asked.prompts]
    assert read.outcomes.categories() == [prompt.category for prompt in read.asked.prompts[::3]]
    nll = read.outcomes.by_triple("mask")["nll"]
    assert nll.shape == (N, 3)
    np.testing.assert_array_equal(nll.ravel(), read.rows("mask")["nll"])
