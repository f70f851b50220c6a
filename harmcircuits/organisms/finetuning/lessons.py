"""What is learnt, laid out as token ids in the frame in which the model is asked:

before · request · between · response · end of turn
                           └─ what is learnt ──────┘
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...data import Frame, chat_frame, encode, prompt_ids
from ...models.protocol import HookedModel, tokenizer_of
from ...notebook import clipped


class FinetuneError(ValueError):
    """Nothing to learn, or a recipe or model that does not fit; the message says what, and what to give instead."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A request and what is to be answered.

    Attributes:
        request: what a user asks; the model's own chat frame is put around it.
        response: what is learnt; its loss alone counts.
        rejected: for "dpo", what is not to be written; None for "sft".
    """

    request: str
    response: str
    rejected: str | None = None

    def __repr__(self) -> str:
        return f"Lesson({clipped(self.request, 50)!r}, {len(self.response)} characters)"


@dataclass(frozen=True)
class Tokens:
    """A lesson as token ids: what is given, what is learnt, and what is rejected (empty where nothing is)."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    rejected: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.prompt) + max(len(self.response), len(self.rejected))


def tokens_of(model: HookedModel, lessons: Sequence[Lesson], *, method: str, max_tokens: int) -> list[Tokens]:
    """The ids that `harmcircuits.examples` gives for the same texts, and the end of turn.

    Raises:
        FinetuneError: no lessons, an empty answer, a lesson with or without `rejected` where `method` wants it otherwise, or
            one of more than `max_tokens` tokens.
    """
    if not lessons:
        raise FinetuneError("no lessons: there is nothing to learn. Give at least one Lesson(request=…, response=…).")
    frame = chat_frame(model)
    end = end_of_turn(model, frame)
    laid = []
    for at, lesson in enumerate(lessons):
        _check(lesson, at, method)
        prompt = tuple(prompt_ids(model, frame, lesson.request, ""))
        answers = [(*encode(model, text), *end) for text in (lesson.response, lesson.rejected) if text is not None]
        one = Tokens(prompt, *answers)
        if len(one) > max_tokens:
            raise FinetuneError(
                f"lesson {at} has {len(one)} tokens with the chat frame, and max_tokens is {max_tokens}: shorten it, leave it "
                f"out, or give Recipe(max_tokens={len(one)})"
            )
        laid.append(one)
    return laid


def end_of_turn(model: HookedModel, frame: Frame) -> tuple[int, ...]:
    """The token that ends an answer in the chat frame, or else the end of text; none where the tokenizer has neither."""
    if frame.turn and frame.turn[0] in frame.stops:
        return frame.turn[:1]
    eos = tokenizer_of(model).eos_token_id
    return () if eos is None else (int(eos),)


def _check(lesson: Lesson, at: int, method: str) -> None:
    if not lesson.response or lesson.rejected == "":
        which = "rejected" if lesson.response else "response"
        raise FinetuneError(f"lesson {at} has an empty {which}: there is no token to learn from. Leave the lesson out.")
    if (method == "dpo") != (lesson.rejected is not None):
        raise FinetuneError(
            f"lesson {at} has no rejected answer, which 'dpo' needs beside the response: give rejected=, or method='sft'"
            if method == "dpo"
            else f"lesson {at} has a rejected answer, which 'sft' would ignore: leave it out, or give method='dpo'"
        )
