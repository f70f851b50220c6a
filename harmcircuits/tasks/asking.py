"""How a question is laid out in generation's own chat: after request, prefill and response, where it cannot change them.

before · request · between · prefill · response · turn · question · between · answer · label
"""

from collections.abc import Sequence

from ..examples import Example, Frame, Prompt, Row, chat_frame, encode, example_rows, response_ids
from ..models.protocol import HookedModel
from .formats import Question, label_ids


def question_rows(model: HookedModel, examples: Sequence[Example], question: Question) -> list[Row]:
    """`prompt · response · turn · question · between · answer · label`, the response being asked; the label is the last token
    (the harmful one, whose likelihood nobody reads)."""
    frame, label = chat_frame(model), label_ids(model, question)[0]
    rows = []
    for row, example in zip(example_rows(model, examples), examples, strict=True):
        suffix = question_ids(model, frame, example, question)
        rows.append(Row((*row.tokens, *suffix, label), row.start, row.stop))
    return rows


def question_ids(model: HookedModel, frame: Frame, example: Example, question: Question) -> list[int]:
    """From the end of the response to the label; a response that ended its turn itself does not end it twice."""
    response = response_ids(model, example)
    ended = bool(response) and bool(frame.turn) and response[-1] == frame.turn[0]
    answer = encode(model, question.answer) if question.answer else []
    return [*frame.turn[ended:], *encode(model, question.asked(example.request)), *frame.between, *answer]


def request_ends(model: HookedModel, prompts: Sequence[Prompt | Example]) -> list[int]:
    """Where the last token of each request stands in its row, counted from 0."""
    before = len(chat_frame(model).before)
    return [before + len(encode(model, prompt.request)) - 1 for prompt in prompts]
