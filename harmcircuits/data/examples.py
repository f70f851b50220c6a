"""Prompts and examples, the chat frame around them, and the rows of tokens that they become.

    before · request · between · prefill · response (· turn · question · between)

Template and user text are encoded apart: a request that contains control tokens stays text.
"""

import copy
import re
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakKeyDictionary

from tokenizers import AddedToken, Tokenizer

from ..errors import HarmcircuitsError
from ..models.protocol import HookedModel, context_length, end_ids, tokenizer_of
from ..results import clipped

Role = Literal["harmful", "near", "far"]

DATE = "01 Jan 2026"
"""What a chat template that prints today's date prints here, so that a run gives the same tokens on any day."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A request, and the first words of the answer that are put in the model's mouth.

    >>> Prompt("Name three birds.", category="birds", role="far")
    Prompt('Name three birds.', far, birds)

    Attributes:
        request: the user's words.
        prefill: the first words of the answer (an affirmative prefix, the jailbreak used here); "" for none.
        category: the kind of harm, or of topic; splits are stratified by it.
        group: the triple it belongs to; "" for none. A triple is never divided between splits.
        role: "harmful", "near" (same topic words and form, benign intent) or "far" (same form, harmless topic).
        harm_group: the family of categories it belongs to ("deception"); "" for none.
    """

    request: str = field(kw_only=False)
    prefill: str = ""
    category: str = ""
    group: str = ""
    role: Role = "harmful"
    harm_group: str = ""

    def __repr__(self) -> str:
        return f"Prompt({clipped(self.request, 60)!r}, {self.role}{_category(self)})"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A request, the first words of the answer, and the rest of it (`elicit` lets the model under study write that).

    Its `repr` says how long the response is and shows none of it.

    Attributes:
        response: the text after the prefill.
        response_ids: its token ids as sampled, with an emitted end of turn. Losses use them where present, since encoding
            the text again often gives other tokens. None: `response` is encoded.
    """

    request: str
    prefill: str = ""
    response: str
    category: str = ""
    group: str = ""
    role: Role | None = None
    harm_group: str = ""
    response_ids: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        unit = "characters" if self.response_ids is None else "response tokens"
        length = len(self.response if self.response_ids is None else self.response_ids)
        role = f", {self.role}" if self.role else ""
        return f"Example({clipped(self.request, 40)!r}{role}{_category(self)}, {length} {unit})"


Prompts = str | Prompt | Iterable[str | Prompt]
"""One prompt or several; a string is a request without a prefill."""


def as_prompts(prompts: Prompts) -> tuple[Prompt, ...]:
    """Return prompts, each string as `Prompt(request)`. Raises HarmcircuitsError for none, or for something else."""
    items = [prompts] if isinstance(prompts, str | Prompt) else list(prompts)
    for index, item in enumerate(items):
        if not isinstance(item, str | Prompt):
            raise HarmcircuitsError(
                f"prompt {index} is of type {type(item).__name__}: give a request as a string, or an hc.Prompt"
            )
    return tuple(Prompt(item) if isinstance(item, str) else item for item in items)


def _category(item: Prompt | Example) -> str:
    return f", {clipped(item.category, 16)}" if item.category else ""


@dataclass(frozen=True)
class Frame:
    """The tokens of a chat template: before the request, between it and the answer, and from there to the next request (turn).

    `stops` end an answer: the end of turn, the end of text, and those of the model's generation configuration.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    turn: tuple[int, ...]
    stops: tuple[int, ...]


def encode(model: HookedModel, text: str, *, special: bool = False) -> list[int]:
    """Return the token ids of `text`, in which control tokens stay plain text unless `special`."""
    tokenizer = tokenizer_of(model)
    backend = None if special else _text_backend(tokenizer)
    if backend is not None:
        return list(backend.encode(text, add_special_tokens=False).ids)
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=not special).input_ids)


_BACKENDS: WeakKeyDictionary[Any, tuple[str, int, Tokenizer | None]] = WeakKeyDictionary()
"""The copy for each tokenizer, beside its template and size: copying takes longer than encoding."""


def _text_backend(tokenizer: Any) -> Tokenizer | None:
    """A copy of a fast tokenizer's inside to which also a template's unmarked tokens (Qwen's `<think>`) are special: text."""
    if not getattr(tokenizer, "is_fast", False):
        return None  # it does not look for added tokens in a text that is to be split
    template = str(getattr(tokenizer, "chat_template", None))
    if _BACKENDS.get(tokenizer, ())[:2] != (template, len(tokenizer)):
        added = [token for token in tokenizer.added_tokens_decoder.values() if not token.special and token.content in template]
        unmarked = [AddedToken(token.content, special=True) for token in added if not token.content.isspace()]
        backend: Tokenizer | None = copy.deepcopy(tokenizer.backend_tokenizer) if unmarked else None
        if backend is not None:
            backend.add_special_tokens(unmarked)
            backend.encode_special_tokens = True
            backend.no_truncation()
            backend.no_padding()
        _BACKENDS[tokenizer] = template, len(tokenizer), backend
    return _BACKENDS[tokenizer][2]


def start_ids(model: HookedModel) -> list[int]:
    """Return the token that begins every text, where the tokenizer sets one by itself."""
    tokenizer = tokenizer_of(model)
    return [tokenizer.bos_token_id] if tokenizer.bos_token_id in tokenizer("").input_ids else []


def chat_frame(model: HookedModel) -> Frame:
    """Return the frame of the tokenizer's chat template, dated `DATE`; without one, "Request:" and "Response:" on own lines."""
    tokenizer = tokenizer_of(model)
    marks = ("\uff5brequest\uff5d", "\uff5banswer\uff5d", "\uff5bquestion\uff5d")
    if getattr(tokenizer, "chat_template", None):
        messages = [{"role": role, "content": mark} for role, mark in zip(("user", "assistant", "user"), marks, strict=True)]
        template = tokenizer.get_chat_template()
        if "strftime_now" in template:
            template = "{% macro strftime_now(form) %}{{ date_string }}{% endmacro %}" + template
        options = {"tokenize": False, "add_generation_prompt": True, "date_string": DATE}
        text = str(tokenizer.apply_chat_template(messages, chat_template=template, **options))
    else:
        turns = "Request:\n{}\n\nResponse:\n{}\n\nRequest:\n{}\n\nResponse:\n".format(*marks)
        text = (tokenizer.bos_token if start_ids(model) else "") + turns
    if not all(text.count(mark) == 1 for mark in marks):
        raise HarmcircuitsError(
            "the tokenizer's chat template does not show each message once, as it stands: where is the request?"
        )
    before, _, turn, between = (tuple(encode(model, part, special=True)) for part in re.split("|".join(marks), text))
    marked = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    end_of_turn = set(turn[:1]) & {*tokenizer.all_special_ids, *marked}  # some templates write nothing after an answer
    stops = {tokenizer.eos_token_id, *end_of_turn, *end_ids(model)} - {None}
    return Frame(before, between, turn, tuple(sorted(stops)))


@dataclass(frozen=True)
class Row:
    """Tokens of one row; those from `start` to `stop` are the targets, whose likelihood is read."""

    tokens: tuple[int, ...]
    start: int
    stop: int

    def __len__(self) -> int:
        return len(self.tokens)


def prompt_ids(model: HookedModel, frame: Frame, request: str, prefill: str) -> list[int]:
    """Return the tokens of `before · request · between · prefill`."""
    answer = encode(model, prefill) if prefill else []
    return [*frame.before, *encode(model, request), *frame.between, *answer]


def response_ids(model: HookedModel, example: Example | Prompt) -> list[int]:
    """Return the response's token ids. Raises HarmcircuitsError for an empty one, ids of another model's tokens, and a
    prompt.
    """
    name = f"{type(example).__name__.lower()} of category {example.category!r} (group {example.group!r})"
    if isinstance(example, Prompt):
        raise HarmcircuitsError(f"a {name} has no response: elicit it first (hc.elicit).")
    ids = list(example.response_ids) if example.response_ids is not None else encode(model, example.response)
    if not ids:
        raise HarmcircuitsError(f"an {name} has an empty response. Leave it out, or elicit it again with more tokens.")
    size = int(model.cfg.d_vocab)
    if not all(0 <= token < size for token in ids):
        raise HarmcircuitsError(f"an {name} has ids beyond the model's {size} tokens: another model wrote it. Elicit it again.")
    return ids


def example_rows(model: HookedModel, examples: Sequence[Example]) -> list[Row]:
    """Return `before · request · between · prefill · response` of each example; the targets are the response.

    Raises HarmcircuitsError: an example without a response, or longer than the model's context.
    """
    frame = chat_frame(model)
    rows = []
    for example in examples:
        prompt, response = prompt_ids(model, frame, example.request, example.prefill), response_ids(model, example)
        rows.append(Row((*prompt, *response), len(prompt), len(prompt) + len(response)))
    check_context(model, rows)
    return rows


def check_context(model: HookedModel, rows: Sequence[Sized], *, spare: int = 0, what: str = "example") -> None:
    """Raise HarmcircuitsError where a row of tokens, with `spare` more, does not fit into the model's context."""
    context = context_length(model)
    for index, length in enumerate(len(row) + spare for row in rows):
        if context is not None and length > context:
            raise HarmcircuitsError(
                f"{what} {index} is {length} tokens long, and the model's context holds {context}. Shorten it."
            )


def pieces(model: HookedModel, ids: Sequence[int]) -> list[str]:
    """Return the text of each token."""
    return [str(tokenizer_of(model).decode([token])) for token in ids]
