"""Tokens that a chat template writes and a user's text must not: some tokenizers do not mark all of theirs as special."""

import copy
import re
from typing import Any
from weakref import WeakKeyDictionary

from tokenizers import AddedToken, Tokenizer

from .protocol import ModelError

_HALF = re.compile("[\ud800-\udfff]")


def check_encodable(text: str) -> None:
    """Raises ModelError for a text that no tokenizer takes: half a character pair stands for nothing."""
    half = _HALF.search(text)
    if half is not None:
        where = f"character {half.start()} of {len(text)}"
        raise ModelError(f"a text holds half a character pair ({where}), which is no text. Remove it.")


def text_backend(tokenizer: Any) -> Tokenizer | None:
    """A copy of a fast tokenizer's inside that keeps every control token in a text as text; None if the own one does.

    `split_special_tokens` does that for tokens marked special. DeepSeek's `<｜User｜>` and Qwen's `<think>` are added tokens
    without the mark, but stand in the chat template: these are marked in the copy. Added tokens of mere whitespace (runs of
    spaces in code, Gemma's line ends) are ordinary text and stay tokens, and so does what no template contains.
    """
    if not getattr(tokenizer, "is_fast", False):
        return None  # there, no added token is looked for in text that is to be split
    state = (str(getattr(tokenizer, "chat_template", None)), len(tokenizer))
    if _MADE.get(tokenizer, (None,))[0] != state:
        _MADE[tokenizer] = (state, _marked(tokenizer, template=state[0]))
    backend: Tokenizer | None = _MADE[tokenizer][1]
    return backend


_MADE: WeakKeyDictionary[Any, tuple[Any, ...]] = WeakKeyDictionary()
"""For each tokenizer its template and size, and the copy made then: copying takes longer than encoding."""


def _marked(tokenizer: Any, *, template: str) -> Tokenizer | None:
    unmarked = [
        AddedToken(token.content, special=True)
        for token in tokenizer.added_tokens_decoder.values()
        if not token.special and not token.content.isspace() and token.content in template
    ]
    if not unmarked:
        return None
    backend: Tokenizer = copy.deepcopy(tokenizer.backend_tokenizer)
    backend.add_special_tokens(unmarked)
    backend.encode_special_tokens = True
    backend.no_truncation()
    backend.no_padding()
    return backend
