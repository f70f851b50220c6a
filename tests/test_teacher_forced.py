"""Loss, KL and recognition in place, read off one pass over prompt · response · question."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from triples import make_triples

from harmcircuits.ablation.ablate import ablated
from harmcircuits.circuits import Circuit
from harmcircuits.data import Example, ExampleError, chat_frame, encode, example_rows, loss, prompt_ids
from harmcircuits.data.elicit import elicit
from harmcircuits.tasks.asking import question_rows
from harmcircuits.tasks.formats import QUESTIONS, FormatError, Question
from harmcircuits.tasks.probe import Place, Probe
from harmcircuits.tasks.residual import residuals_kept
from harmcircuits.tasks.teacher_forced import teacher_forced

QUESTION = QUESTIONS[2]
CIRCUIT = Circuit(heads=[(0, 1), (1, 3)], neurons=[(0, 5), (1, 7), (1, 40)])
OTHER = Circuit(heads=[(1, 0)])


@pytest.fixture(scope="module")
def examples(tiny: Any) -> list[Example]:
    """Responses of unlike lengths, so that batches are padded."""
    prompts = make_triples(2).prompts
    written = elicit(tiny, prompts, max_new_tokens=7, cache=False)
    return [*written[:-1], replace(written[-1], response_ids=(written[-1].response_ids or ())[:2])]


def logits_of(model: Any, ids: list[int] | tuple[int, ...], circuit: Circuit | None) -> torch.Tensor:
    """Every position's ln p, from one unpadded row."""
    with torch.no_grad(), ablated(model, circuit):
        return model(torch.tensor([list(ids)]), return_type="logits")[0].float().log_softmax(-1)


def of(frame: pd.DataFrame, condition: str, column: str) -> np.ndarray:
    return frame.loc[frame["condition"] == condition, column].to_numpy()


@pytest.mark.parametrize("question", [None, QUESTION])
def test_nll_is_the_loss_with_and_without_a_question_behind_it(
    tiny: Any, examples: list[Example], question: Question | None
) -> None:
    frame = teacher_forced(tiny, examples, {"intact": None, "cut": CIRCUIT}, question=question, batch_size=4)
    np.testing.assert_allclose(of(frame, "intact", "nll"), loss(tiny, examples).numpy(), atol=1e-5)
    with ablated(tiny, CIRCUIT):
        expected = loss(tiny, examples).numpy()
    np.testing.assert_allclose(of(frame, "cut", "nll"), expected, atol=1e-5)
    assert np.abs(of(frame, "cut", "nll") - of(frame, "intact", "nll")).max() > 1e-3, "the ablation does something"


def test_kl_is_0_for_the_intact_model_and_otherwise_that_of_an_unpadded_row(tiny: Any, examples: list[Example]) -> None:
    frame = teacher_forced(tiny, examples, {"intact": None, "cut": CIRCUIT}, question=QUESTION, batch_size=4)
    assert (of(frame, "intact", "kl") == 0).all()
    assert (of(frame, "cut", "kl") > 0).all()
    for index, row in enumerate(example_rows(tiny, examples)):
        p, q = (logits_of(tiny, row.tokens, circuit)[row.start - 1 : row.stop - 1] for circuit in (None, CIRCUIT))
        expected = (p.exp() * (p - q)).sum(-1).mean()
        assert of(frame, "cut", "kl")[index] == pytest.approx(float(expected), abs=1e-5)


def test_without_kl_everything_else_is_the_same_and_the_intact_model_is_not_read(tiny: Any, examples: list[Example]) -> None:
    passes: list[int] = []
    within = getattr(tiny, "original_model", tiny)  # a bridge wraps a transformers model
    counted = within.register_forward_hook(lambda *_: passes.append(1))
    with_kl = teacher_forced(tiny, examples, {"cut": CIRCUIT}, question=QUESTION)
    n = len(passes)
    without = teacher_forced(tiny, examples, {"cut": CIRCUIT}, question=QUESTION, kl=False)
    counted.remove()
    assert n == 2 * (len(passes) - n) > 0
    assert without["kl"].isna().all() and with_kl["kl"].notna().all()
    pd.testing.assert_frame_equal(without.drop(columns="kl"), with_kl.drop(columns="kl"))


def test_an_empty_circuit_has_a_kl_of_0_and_never_less(tiny: Any, examples: list[Example]) -> None:
    frame = teacher_forced(tiny, examples, {"intact": None, "nothing": Circuit()})
    assert (frame["kl"] >= 0).all()
    assert frame["kl"].max() < 1e-5


def test_recognition_in_place_is_the_log_odds_after_the_written_out_chat(tiny: Any, examples: list[Example]) -> None:
    frame = teacher_forced(tiny, examples, {"intact": None, "cut": CIRCUIT}, question=QUESTION, batch_size=4)
    framed, example = chat_frame(tiny), examples[0]
    ids = [
        *prompt_ids(tiny, framed, example.request, example.prefill),
        *(example.response_ids or ()),
        *framed.turn,
        *encode(tiny, QUESTION.text),
        *framed.between,
        *encode(tiny, QUESTION.answer),
    ]
    harmful, harmless = encode(tiny, QUESTION.harmful)[0], encode(tiny, QUESTION.harmless)[0]
    for condition, circuit in (("intact", None), ("cut", CIRCUIT)):
        last = logits_of(tiny, ids, circuit)[-1]
        expected = float(last[harmful] - last[harmless])
        assert of(frame, condition, "in_place")[0] == pytest.approx(expected, abs=1e-4)


def test_one_call_for_all_conditions_is_one_call_a_condition(tiny: Any, examples: list[Example]) -> None:
    conditions = {"one": CIRCUIT, "intact": None, "two": OTHER}
    together = teacher_forced(tiny, examples, conditions, question=QUESTION, batch_size=4)
    apart = [
        teacher_forced(tiny, examples, {name: circuit}, question=QUESTION, batch_size=4) for name, circuit in conditions.items()
    ]
    pd.testing.assert_frame_equal(together, pd.concat(apart, ignore_index=True), atol=1e-6)


def test_the_size_of_a_batch_changes_nothing(tiny: Any, examples: list[Example]) -> None:
    one = teacher_forced(tiny, examples, {"intact": None, "cut": CIRCUIT}, question=QUESTION, batch_size=1)
    all_of_them = teacher_forced(tiny, examples, {"intact": None, "cut": CIRCUIT}, question=QUESTION, batch_size=99)
    pd.testing.assert_frame_equal(one, all_of_them, atol=1e-4)


def test_a_response_that_ended_its_turn_does_not_end_it_twice(tiny: Any) -> None:
    framed = chat_frame(tiny)
    end, words = framed.turn[0], encode(tiny, " a loaf of bread")
    assert end in framed.stops
    unfinished = Example(request="bake", response="", response_ids=tuple(words))
    ended = replace(unfinished, response_ids=(*words, end))
    rows = question_rows(tiny, [unfinished, ended], QUESTION)
    assert rows[0].tokens == rows[1].tokens, "the same chat, whoever ended the turn"
    assert rows[1].stop == rows[0].stop + 1, "the end that the model wrote itself is scored"
    after = rows[1].tokens[rows[1].stop :]
    assert after[: len(framed.turn) - 1] == framed.turn[1:]


def some_probe(layer: int, place: Place) -> Probe:
    random = torch.Generator().manual_seed(layer)
    mean, direction = torch.randn(2, 32, generator=random)
    return Probe(layer=layer, place=place, mean=mean, scale=torch.full((32,), 3.0), direction=direction)


@pytest.mark.parametrize("batch_size", [1, 4, 99])
def test_probes_are_read_where_they_say_in_the_same_pass(tiny: Any, examples: list[Example], batch_size: int) -> None:
    """One unpadded row at a time, cut off right after the place: what comes later cannot matter."""
    probes = {"after": some_probe(1, "answer"), "before": some_probe(0, "request"), "late": some_probe(1, "request")}
    conditions = {"intact": None, "cut": CIRCUIT}
    frame = teacher_forced(tiny, examples, conditions, question=QUESTION, probes=probes, batch_size=batch_size)
    rows = question_rows(tiny, examples, QUESTION)
    for name, circuit in conditions.items():
        for index, (row, example) in enumerate(zip(rows, examples, strict=True)):
            upto = {"answer": row.tokens[:-1], "request": [*chat_frame(tiny).before, *encode(tiny, example.request)]}
            for column, probe in probes.items():
                with torch.no_grad(), ablated(tiny, circuit), residuals_kept(tiny, [probe.layer]) as kept:
                    tiny(torch.tensor([list(upto[probe.place])]), return_type="logits")
                expected = float(probe.score(kept[probe.layer][:, -1]))
                assert of(frame, name, column)[index] == pytest.approx(expected, abs=1e-4)


def test_probes_need_a_question(tiny: Any, examples: list[Example]) -> None:
    with pytest.raises(FormatError, match="give question="):
        teacher_forced(tiny, examples, {"intact": None}, probes={"p": some_probe(0, "request")})


def test_an_empty_response_is_an_error(tiny: Any) -> None:
    with pytest.raises(ExampleError, match=r"category 'tea'.*empty response"):
        teacher_forced(tiny, [Example(request="pour", response="", category="tea")], {"intact": None}, question=QUESTION)
