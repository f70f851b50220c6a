"""Prompts and examples, the chat frame around them, and the rows of tokens that they become.

    before · request · between · prefill · response (· turn · question · between)

Template and user text are encoded apart: a request that contains control tokens stays text.
"""

import copy
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

from tokenizers import AddedToken, Tokenizer

from ..models.protocol import HookedModel, ModelError, context_length, end_ids, tokenizer_of
from ..results import clipped

Role = Literal["harmful", "near", "far"]

DATE = "01 Jan 2026"
"""What a chat template that prints today's date prints here, so that a run gives the same tokens on any day."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A request, and the first words of the answer that are put in the model's mouth.

    Attributes:
        request: what the user asks.
        prefill: the first words of the answer (an affirmative prefix, the jailbreak used here); "" for none.
        category: the kind of harm, or of topic; splits are stratified by it.
        group: the triple it belongs to; "" for none. A triple is never divided between splits.
        role: "harmful", "near" (same topic words and form, benign intent) or "far" (same form, harmless topic).
        harm_group: the family of categories it belongs to ("deception"); "" for none.
    """

    request: str
    prefill: str = ""
    category: str = ""
    group: str = ""
    role: Role = "harmful"
    harm_group: str = ""

    def __repr__(self) -> str:
        return f"Prompt({clipped(self.request, 60)!r}, {self.role}{_place(self)})"


@dataclass(frozen=True, kw_only=True)
class Example:
    """A request, the first words of the answer, and the rest of it (`elicit` lets the model under study write that).

    Its `repr` says how long the response is and shows none of it.

    Attributes:
        response: what follows the prefill, as text.
        response_ids: the same as the token ids that were sampled, an emitted end of turn included; losses use them where
            present, since decoding and encoding again often gives other tokens. None: `response` is encoded.
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
        return f"Example({clipped(self.request, 40)!r}{role}{_place(self)}, {length} {unit})"


def _place(one: Prompt | Example) -> str:
    return f", {clipped(one.category, 16)}" if one.category else ""


class PromptError(ValueError):
    """A file of prompts that cannot be read, or a set too small for what is asked. Never quotes a request."""


class ExampleError(ValueError):
    """Prompts or examples that cannot be continued or scored; the message says which and why."""


@dataclass(frozen=True)
class Frame:
    """The tokens that a chat template puts around what people say.

    `before` the request, `between` its end and the answer, `turn` between the end of an answer and the next request.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    turn: tuple[int, ...]
    stops: tuple[int, ...]
    """Ids that end an answer: the end of turn, the end of text, and those of the model's generation configuration."""


def encode(model: HookedModel, text: str, *, special: bool = False) -> list[int]:
    """Token ids of `text`. Control tokens written in it (special tokens, and those of the chat template) stay plain text,
    unless `special`."""
    tokenizer = tokenizer_of(model)
    backend = None if special else _text_backend(tokenizer)
    if backend is not None:
        return list(backend.encode(text, add_special_tokens=False).ids)
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=not special).input_ids
    return ids


_BACKENDS: WeakKeyDictionary[Any, tuple[Any, ...]] = WeakKeyDictionary()
"""For each tokenizer its template and size, and the copy made for them: copying takes longer than encoding."""


def _text_backend(tokenizer: Any) -> Tokenizer | None:
    """A copy of a fast tokenizer's inside that keeps every control token in a text as text; None where its own does.

    `split_special_tokens` does that for tokens marked special; in the copy so are those of the template (Qwen's `<think>`).
    """
    if not getattr(tokenizer, "is_fast", False):
        return None  # it does not look for added tokens in a text that is to be split
    template = str(getattr(tokenizer, "chat_template", None))
    if _BACKENDS.get(tokenizer, (None,))[:2] != (template, len(tokenizer)):
        added = [token for token in tokenizer.added_tokens_decoder.values() if not token.special and token.content in template]
        unmarked = [AddedToken(token.content, special=True) for token in added if not token.content.isspace()]
        backend: Tokenizer | None = copy.deepcopy(tokenizer.backend_tokenizer) if unmarked else None
        if backend is not None:
            backend.add_special_tokens(unmarked)
            backend.encode_special_tokens = True
            backend.no_truncation()
            backend.no_padding()
        _BACKENDS[tokenizer] = template, len(tokenizer), backend
    return _BACKENDS[tokenizer][2]  # type: ignore[no-any-return]


def start_ids(model: HookedModel) -> list[int]:
    """The token that begins every text, where the tokenizer sets one by itself."""
    tokenizer = tokenizer_of(model)
    return [tokenizer.bos_token_id] if tokenizer.bos_token_id in tokenizer("").input_ids else []


def chat_frame(model: HookedModel) -> Frame:
    """The frame of the tokenizer's chat template; of plain text ("Request:", "Response:" on lines of their own) without one."""
    tokenizer = tokenizer_of(model)
    request, answer, question = "\uff5brequest\uff5d", "\uff5banswer\uff5d", "\uff5bquestion\uff5d"
    if getattr(tokenizer, "chat_template", None):
        turns = [("user", request), ("assistant", answer), ("user", question)]
        text = chat_text(tokenizer, [{"role": role, "content": content} for role, content in turns])
    else:
        start = tokenizer.bos_token if start_ids(model) else ""
        text = f"{start}Request:\n{request}\n\nResponse:\n{answer}\n\nRequest:\n{question}\n\nResponse:\n"
    if not all(text.count(word) == 1 for word in (request, answer, question)):
        raise ModelError("the tokenizer's chat template does not show each message once, as it stands: where is the request?")
    before, rest = text.split(request)
    rest, between = rest.split(question)
    _, turn = rest.split(answer)
    parts = [tuple(encode(model, part, special=True)) for part in (before, between, turn)]
    marked = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    end_of_turn = set(parts[2][:1]) & {*tokenizer.all_special_ids, *marked}  # some templates write nothing after an answer
    stops = {tokenizer.eos_token_id, *end_of_turn, *end_ids(model)} - {None}
    return Frame(parts[0], parts[1], parts[2], tuple(sorted(stops)))


def chat_text(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    """The messages in the tokenizer's chat template, up to where the answer begins, dated `DATE`."""
    template = tokenizer.get_chat_template()
    if "strftime_now" in template:
        template = "{% macro strftime_now(form) %}{{ date_string }}{% endmacro %}" + template
    options = {"tokenize": False, "add_generation_prompt": True, "date_string": DATE}
    return str(tokenizer.apply_chat_template(messages, chat_template=template, **options))


@dataclass(frozen=True)
class Row:
    """Tokens of one row; the ones at `start … stop` are those whose likelihood is asked."""

    tokens: tuple[int, ...]
    start: int
    stop: int

    def __len__(self) -> int:
        return len(self.tokens)


def prompt_ids(model: HookedModel, frame: Frame, request: str, prefill: str) -> list[int]:
    """`before · request · between · prefill`."""
    answer = encode(model, prefill) if prefill else []
    return [*frame.before, *encode(model, request), *frame.between, *answer]


def response_ids(model: HookedModel, example: Example | Prompt) -> list[int]:
    """Token ids of the response. Raises ExampleError for an empty one, ids of another model's tokens, and a prompt."""
    name = f"{type(example).__name__.lower()} of category {example.category!r} (group {example.group!r})"
    if isinstance(example, Prompt):
        raise ExampleError(f"a {name} has no response: elicit it first (hc.elicit).")
    ids = list(example.response_ids) if example.response_ids is not None else encode(model, example.response)
    if not ids:
        raise ExampleError(f"an {name} has an empty response. Leave it out, or elicit it again with more tokens.")
    size = int(model.cfg.d_vocab)
    if not all(0 <= token < size for token in ids):
        raise ExampleError(f"an {name} has ids beyond the model's {size} tokens: another model wrote it. Elicit it again.")
    return ids


def example_rows(model: HookedModel, examples: Sequence[Example]) -> list[Row]:
    """`before · request · between · prefill · response` of each example; the response is what is asked.

    Raises ExampleError: an example without a response, or longer than the model's context.
    """
    frame = chat_frame(model)
    rows = []
    for example in examples:
        prompt, response = prompt_ids(model, frame, example.request, example.prefill), response_ids(model, example)
        rows.append(Row((*prompt, *response), len(prompt), len(prompt) + len(response)))
    check_context(model, rows)
    return rows


def check_context(model: HookedModel, rows: Sequence[Sized], *, spare: int = 0, what: str = "example") -> None:
    """Raise ExampleError where rows of tokens, with `spare` more, do not fit into the model's context: none is cut off."""
    context = context_length(model)
    for index, length in enumerate(len(row) + spare for row in rows):
        if context is not None and length > context:
            raise ExampleError(f"{what} {index} is {length} tokens long, and the model's context holds {context}. Shorten it.")


def pieces(model: HookedModel, ids: Sequence[int]) -> list[str]:
    """The text of each token, for tables and figures."""
    return [str(tokenizer_of(model).decode([token])) for token in ids]
