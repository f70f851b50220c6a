"""What a language model would answer: the probabilities of a few words as its next token, for many prompts at once."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..data import batched, chat_text, map_batches
from .loading import JudgeModel, cut, without_control_tokens
from .prompts import JudgePrompt
from .protocol import JudgeError

Match: TypeAlias = Literal["exact", "alike", "first"]
"""exact: the token that is the word. alike: every token that is, but for blanks and capitals. first: the word's first token."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What the judge would answer to each text.

    Attributes:
        probabilities: [text, answer], over these answers alone (they sum to 1); nan where the text was not read.
        mass: [text], the share of the next token's probability that falls on these answers: near 0, the judge would rather
            have said something else, and the probabilities mean little.
        cut: whether the end of the response was left out.
        reasons: why a text was not read, by position.
    """

    probabilities: Float[np.ndarray, "text answer"]
    mass: Float[np.ndarray, " text"]
    cut: tuple[bool, ...]
    reasons: dict[int, str]


def prompt_tokens(judge: JudgeModel, prompt: JudgePrompt, request: str, response: str) -> list[int]:
    """The tokens that the judge reads before it answers; control tokens written in the texts stay text."""
    tokenizer = judge.tokenizer
    request, response = (without_control_tokens(tokenizer, text) for text in (request, response))
    if prompt.published and prompt.published.start_before_response:
        response = tokenizer.decode(tokenizer("").input_ids) + response
    text = prompt.filled(request, response)
    if prompt.chat and getattr(tokenizer, "chat_template", None):
        return message_tokens(tokenizer, [("user", text)], lead=prompt.lead)
    return list(tokenizer(text + prompt.lead).input_ids)


def message_tokens(tokenizer: Any, turns: Sequence[tuple[str, str]], *, lead: str) -> list[int]:
    """A conversation in the tokenizer's chat template, up to where the judge answers, and `lead`."""
    messages = [{"role": role, "content": content} for role, content in turns]
    text = chat_text(tokenizer, messages)
    return list(tokenizer(text + lead, add_special_tokens=False).input_ids)


def shortened(judge: JudgeModel, responses: Sequence[str], limit: int) -> tuple[list[str], tuple[bool, ...]]:
    """Each response's first `limit` tokens, and where that was less than all."""
    parts = [cut(judge.tokenizer, response, limit) for response in responses]
    return [text for text, _ in parts], tuple(was_cut for _, was_cut in parts)


def answer_ids(tokenizer: Any, words: Sequence[str], match: Match) -> list[list[int]]:
    """The ids of the tokens that count as each answer.

    Raises:
        JudgeError: a word that is no single token of this tokenizer, or two words that share one.
    """
    surfaces = {token: _surface(token) for token in tokenizer.get_vocab()}
    found = [_ids_of(tokenizer, surfaces, word, match) for word in words]
    lacking = [word for word, ids in zip(words, found, strict=True) if not ids]
    if lacking:
        raise JudgeError(
            f"{', '.join(map(repr, lacking))}: no single token of the judge's tokenizer: one prediction cannot give it. "
            "Choose answers that are (digits, Yes and No), and a prompt that asks for them."
        )
    if sum(map(len, found)) != len(set().union(*found)):
        raise JudgeError(f"the answers {', '.join(map(repr, words))} begin with the same token: choose others")
    return found


def _ids_of(tokenizer: Any, surfaces: dict[str, str], word: str, match: Match) -> list[int]:
    vocabulary = tokenizer.get_vocab()
    if match == "first":
        blank = {vocabulary[token] for token, surface in surfaces.items() if not surface.strip()}
        firsts = {tokenizer(text, add_special_tokens=False).input_ids[0] for text in (word, f" {word}")}
        return sorted(firsts - blank)
    if match == "exact":
        return [vocabulary[token] for token, surface in surfaces.items() if surface == word]
    return sorted(vocabulary[token] for token, surface in surfaces.items() if surface.strip().casefold() == word.casefold())


def _surface(token: str) -> str:
    """A token as text: byte-level and sentencepiece vocabularies write a blank in their own ways."""
    return token.replace("Ġ", " ").replace("▁", " ").replace("Ċ", "\n")


def read_answers(
    judge: JudgeModel,
    rows: Sequence[Sequence[int]],
    words: Sequence[str],
    *,
    match: Match,
    min_mass: float,
    batch_size: int,
    was_cut: tuple[bool, ...],
) -> Answers:
    """The probabilities of `words` as the next token after each row.

    A row that is longer than the judge's context, or after which less than `min_mass` falls on the words, has a reason instead.
    """
    ids = answer_ids(judge.tokenizer, words, match)
    limit = judge.context
    reasons = {
        at: f"the prompt is longer than the judge's context of {limit} tokens"
        for at, row in enumerate(rows)
        if len(row) > limit
    }
    fits = [at for at in range(len(rows)) if at not in reasons]
    logs = torch.full((len(rows), len(words)), torch.nan, dtype=torch.float64)
    if fits:
        flat = next_log_probabilities(
            judge, [rows[at] for at in fits], [one for own in ids for one in own], batch_size=batch_size
        )
        logs[fits] = torch.stack([part.logsumexp(1) for part in flat.split([len(own) for own in ids], dim=1)], dim=1)
    mass = logs.exp().sum(1).numpy()
    reasons |= {
        at: f"the judge would answer something else (under {min_mass:g} on its answers)" for at in fits if mass[at] < min_mass
    }
    probabilities = logs.softmax(1).numpy()
    probabilities[list(reasons)] = np.nan
    return Answers(probabilities, mass, was_cut, reasons)


@torch.no_grad()
def next_log_probabilities(
    judge: JudgeModel, rows: Sequence[Sequence[int]], ids: Sequence[int], *, batch_size: int
) -> Float[Tensor, "row id"]:
    """ln p of each id as the next token after each row, over the whole vocabulary, float64.

    Rows are padded on the right, behind what they may look at: no row sees another's length, whatever the tokenizer's side.
    """
    model, found = judge.model, torch.empty(len(rows), len(ids), dtype=torch.float64)
    device = next(model.parameters()).device

    def read(batch: list[int]) -> Float[Tensor, "b id"]:
        own = [torch.tensor(rows[at]) for at in batch]
        last = torch.tensor([len(row) - 1 for row in own])
        tokens = pad_sequence(own, batch_first=True)
        mask = (torch.arange(tokens.shape[1])[None] <= last[:, None]).long()
        kept, where = last.unique(return_inverse=True)
        few = {"logits_to_keep": kept.to(device)} if _keeps_few(model) else {}
        logits = model(input_ids=tokens.to(device), attention_mask=mask.to(device), use_cache=False, **few).logits
        at_last = logits[torch.arange(len(batch)), where if few else last].double().log_softmax(-1)
        asked: Tensor = at_last[:, list(ids)].cpu()
        return asked

    for batch, own in map_batches(batched(rows, batch_size=batch_size), read):
        found[batch] = own
    return found


def _keeps_few(model: Any) -> bool:
    """Whether the model can leave out the logits that nobody reads."""
    return "logits_to_keep" in inspect.signature(model.forward).parameters
