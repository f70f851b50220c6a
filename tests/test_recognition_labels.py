"""Label words of several tokens, headings, and the shared prefix of many shots."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_bridge
from triples import make_triples

from harmcircuits.ablation.ablate import ablated
from harmcircuits.data import Row, batched, chat_frame, encode, make_batch, prompt_ids, row_losses
from harmcircuits.data.elicit import elicit
from harmcircuits.experiments.scores import triple_prompts
from harmcircuits.models.protocol import logits_at
from harmcircuits.organisms import planted
from harmcircuits.statistics import auroc
from harmcircuits.tasks.asking import question_rows, request_ends
from harmcircuits.tasks.formats import (
    QUESTIONS,
    SHOT_FORMATS,
    FormatError,
    Question,
    ShotFormat,
    common_label_ids,
    label_ids,
)
from harmcircuits.tasks.metrics import QuestionMetric, RecognitionMetric
from harmcircuits.tasks.recognition import (
    asked_ids,
    label_row,
    make_shots,
    many_shot,
    shot_ids,
)
from harmcircuits.tasks.teacher_forced import teacher_forced

PROMPTS = make_triples(24)
TRAIN, ASKED = PROMPTS.prompts[:60], PROMPTS.prompts[60:66]
LETTERS = next(form for form in SHOT_FORMATS if form.heading)
TWO_TOKENS = (" the answer", " the door")
"""Two tokens each in the tiny tokenizer, the first of which they share."""


def whole_labels(model: Any, before: list[int], form: ShotFormat | Question) -> float:
    """ln p(harmful label) − ln p(harmless label), over all tokens of both, from one unpadded row each."""
    log_p = []
    for label in (form.harmful, form.harmless):
        ids = encode(model, label)
        loss = row_losses(model, [Row((*before, *ids), len(before), len(before) + len(ids))])
        log_p.append(-float(loss[0]) * len(ids))
    return log_p[0] - log_p[1]


class TestLabelsOfSeveralTokens:
    @pytest.mark.parametrize("labels", [TWO_TOKENS, (" A", " B")])
    def test_many_shot_reads_the_likelihood_of_whole_labels(self, tiny: Any, labels: tuple[str, str]) -> None:
        form = ShotFormat("Request: {request}\nLabel:", *labels, n_shots=4)
        assert [len(encode(tiny, label)) for label in labels] == [2, 2]
        assert len(common_label_ids(tiny, form)) == 1
        shots = make_shots(TRAIN, form, draws=1)
        text = encode(tiny, "\n\n" + shots.asked(ASKED[0].request))
        expected = whole_labels(tiny, [*shot_ids(tiny, shots, 0), *text], form)
        assert many_shot(tiny, ASKED, shots)[0].item() == pytest.approx(expected, abs=1e-4)

    def test_so_does_a_question_in_place(self, tiny: Any) -> None:
        question = Question("What is it?", "It is", *TWO_TOKENS)
        examples = elicit(tiny, ASKED[:3], max_new_tokens=4, cache=False)
        found = teacher_forced(tiny, examples, {"intact": None}, question=question)["in_place"]
        for value, row in zip(found, question_rows(tiny, examples, question), strict=True):
            before = list(row.tokens[:-2])  # without the token that both labels share, and the label's own
            assert value == pytest.approx(whole_labels(tiny, before, question), abs=1e-4)

    def test_and_the_losses_that_recognition_is_attributed_with(self, tiny: Any) -> None:
        """Loss of the right label of a near twin minus that of the same prompt called harmful = the log-odds."""
        question, form = Question("What is it?", "It is", *TWO_TOKENS), ShotFormat("{request}\nIt is", *TWO_TOKENS, n_shots=4)
        examples = elicit(tiny, ASKED[:2], max_new_tokens=4, cache=False)
        shots = make_shots(TRAIN, form, draws=1)
        in_place = torch.tensor(teacher_forced(tiny, examples, {"intact": None}, question=question)["in_place"].to_numpy())
        for metric, odds in (
            (RecognitionMetric(shots), many_shot(tiny, examples, shots)),
            (QuestionMetric(question), in_place.float()),
        ):
            losses = []
            for role in ("near", "harmful"):
                bound = metric.for_model(tiny, [replace(example, role=role) for example in examples])
                with torch.no_grad():
                    losses.append(bound.score(make_batch(tiny, list(bound.rows))))
            torch.testing.assert_close(losses[0] - losses[1], odds, atol=1e-4, rtol=0)

    @pytest.mark.parametrize("labels", [(" No", " Nobody"), (" Nobody", " No"), (" No", " No"), (" No", ""), ("", "")])
    def test_the_beginning_of_the_other_is_an_error(self, tiny: Any, labels: tuple[str, str]) -> None:
        form = ShotFormat("{request}\nWho?", *labels, n_shots=4)
        with pytest.raises(FormatError, match=r"up to the end of the shorter one.*choose labels of which neither"):
            label_ids(tiny, form)
        with pytest.raises(FormatError, match="choose labels"):
            many_shot(tiny, ASKED, make_shots(TRAIN, form, draws=1))
        with pytest.raises(FormatError, match="choose labels"):
            question_rows(tiny, elicit(tiny, ASKED[:1], max_new_tokens=2, cache=False), Question("Who?", "", *labels))


def test_a_heading_stands_above_the_shots() -> None:
    shots = make_shots(TRAIN, replace(LETTERS, n_shots=4), draws=1)
    first = shots.written(*shots.draws[0][0])
    assert shots.text(0).startswith(f"{LETTERS.heading}\n\n{first}\n\n")


def test_one_row_of_everything_gives_what_the_shared_prefix_gives_at_32_shots(hooked: bool, tmp_path: Path) -> None:
    model = tiny_bridge(tmp_path, hooked=hooked, max_position_embeddings=4096)
    shots = make_shots(TRAIN, SHOT_FORMATS[0], draws=2)
    assert [len(draw) for draw in shots.draws] == [32, 32]
    harmful, harmless = label_ids(model, shots.form)
    expected = torch.zeros(len(ASKED))
    for draw in range(2):
        rows = [label_row([*shot_ids(model, shots, draw), *asked_ids(model, shots, one.request)], harmful) for one in ASKED]
        for indices in batched(rows, batch_size=4):
            batch = make_batch(model, [rows[index] for index in indices])
            with torch.no_grad():
                logits = logits_at(model, batch.tokens, batch.attention_mask, batch.positions)
            expected[indices] += (logits[:, harmful] - logits[:, harmless]) / 2
    torch.testing.assert_close(many_shot(model, ASKED, shots, batch_size=4), expected, atol=1e-4, rtol=0)
    assert expected.std() > 1e-3, "it depends on the request"


def test_a_planted_model_recognises_after_shots_and_not_without_what_recognises(hooked: bool) -> None:
    organism = planted(hooked=hooked)
    train, _, test = organism.prompts.split(seed=0)
    twins = [prompt for prompt in triple_prompts(test)[:72] if prompt.role != "far"]
    shots = make_shots(tuple(train), replace(SHOT_FORMATS[0], n_shots=2), draws=2)
    found = {}
    for name, circuit in (("intact", None), ("cut", organism.recognising)):
        with ablated(organism.model, circuit):
            odds = many_shot(organism.model, twins, shots).numpy()
        found[name] = float(auroc(odds[::2], odds[1::2]))
    assert found["intact"] > 0.9
    assert found["cut"] == pytest.approx(0.5, abs=0.1), "twins share all words that move the label then"


# where a prompt ends


@pytest.mark.parametrize("chat_template", [True, False])
def test_ends_are_those_of_requests(hooked: bool, tmp_path: Path, chat_template: bool) -> None:
    model = tiny_bridge(tmp_path, hooked=hooked, chat_template=chat_template)
    examples = elicit(model, ASKED[:3], max_new_tokens=3, cache=False)
    rows, ends, between = question_rows(model, examples, QUESTIONS[0]), request_ends(model, examples), chat_frame(model).between
    for prompt, row, end in zip(ASKED, rows, ends, strict=False):
        request = encode(model, prompt.request)
        assert list(row.tokens[end + 1 - len(request) : end + 1]) == request
        assert list(row.tokens[: row.start]) == prompt_ids(model, chat_frame(model), prompt.request, prompt.prefill)
        assert list(row.tokens[end + 1 : row.start]) == [*between, *encode(model, prompt.prefill)], (
            "the prefill alone lies between"
        )
