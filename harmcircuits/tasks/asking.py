"""How a question is laid out in generation's own chat: after request, prefill and response, where it cannot change them.

before · request · between · prefill · response · turn · question · between · answer · label
"""

from collections.abc import Sequence

from ..data import (
    Example,
    Frame,
    Prompt,
    Row,
    chat_frame,
    check_context,
    encode,
    example_rows,
    response_ids,
)
from ..models.protocol import HookedModel
from .formats import Question, common_label_ids, label_ids


def question_rows(model: HookedModel, examples: Sequence[Example], question: Question) -> list[Row]:
    """`prompt · response · turn · question · between · answer · label`, the response being asked; the label is the last token
    (the harmful one, whose likelihood nobody reads). Raises ExampleError for a row that exceeds the model's context."""
    frame, label = chat_frame(model), label_ids(model, question)[0]
    rows = []
    for row, example in zip(example_rows(model, examples), examples, strict=True):
        suffix = question_ids(model, frame, example, question)
        rows.append(Row((*row.tokens, *suffix, label), row.start, row.stop))
    check_context(model, rows)
    return rows


def question_ids(model: HookedModel, frame: Frame, example: Example, question: Question) -> list[int]:
    """From the end of the response to the label (to where the two labels part); a response that ended its turn itself does not
    end it twice."""
    response = response_ids(model, example)
    ended = bool(response) and bool(frame.turn) and response[-1] == frame.turn[0]
    answer = encode(model, question.answer) if question.answer else []
    asked = [*encode(model, question.asked(example.request)), *frame.between, *answer]
    return [*frame.turn[ended:], *asked, *common_label_ids(model, question)]


def request_ends(model: HookedModel, prompts: Sequence[Prompt | Example]) -> list[int]:
    """Where the request of each row has its last token, counted from 0, whether the row goes on or not."""
    before = len(chat_frame(model).before)
    return [before + len(encode(model, prompt.request)) - 1 for prompt in prompts]
