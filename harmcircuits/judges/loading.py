"""The transformers model behind a judge: from a hub id, a folder or memory, loaded when it is first asked for."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ..models.packaged import from_pretrained, load_errors
from ..models.protocol import LoadError
from .protocol import JudgeError


@dataclass(frozen=True, eq=False)
class JudgeModel:
    """A plain transformers model and its tokenizer, in evaluation mode; code from a hub is never run.

    Attributes:
        place: a hub id or a transformers folder.
        device: by default CUDA where there is one, else the CPU.
        dtype: of the weights: float32, or bfloat16 for large ones.
        revision: branch, tag or commit; for hub ids alone.
        loaded: the model and its tokenizer, instead of loading them from `place`, which is then only the name they go by.
    """

    place: str | os.PathLike[str]
    device: str | torch.device | None = None
    dtype: torch.dtype = torch.float32
    revision: str | None = None
    loaded: tuple[Any, Any] | None = None

    @property
    def label(self) -> str:
        """The hub id, or the folder's last name: no path of this machine."""
        return Path(self.place).name if Path(self.place).is_dir() else os.fspath(self.place)

    @property
    def model(self) -> Any:
        return self._parts[0]

    @property
    def tokenizer(self) -> Any:
        return self._parts[1]

    @property
    def context(self) -> int:
        """The most tokens that model and tokenizer take; 512 where neither says."""
        limits = [getattr(self.model.config, "max_position_embeddings", None), self.tokenizer.model_max_length]
        return int(min((limit for limit in limits if limit and limit < 10**9), default=512))

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Raises JudgeError where the model cannot be had, with the cause and the cure."""
        if self.loaded is not None:
            model, tokenizer = self.loaded
            return model.eval(), tokenizer
        place = os.fspath(self.place)
        try:
            with load_errors(place):
                tokenizer = AutoTokenizer.from_pretrained(place, revision=self.revision, trust_remote_code=False)
            # sdpa gives wrong logits for padded rows of some models and versions; a judge reads short texts
            model = from_pretrained(
                AutoModelForCausalLM, place, revision=self.revision, dtype=self.dtype, attn_implementation="eager"
            )
        except LoadError as error:
            raise JudgeError(f"the judge {self.label!r} cannot be loaded: {error}") from error
        return model.to(self.device or ("cuda" if torch.cuda.is_available() else "cpu")).eval(), tokenizer


def without_control_tokens(tokenizer: Any, text: str) -> str:
    """The text with every control token that is written in it broken up by a space, so that a response cannot end its turn.

    Judges read whole prompts, whose template needs its control tokens: text and template cannot be encoded apart.
    """
    special = {token.content for token in getattr(tokenizer, "added_tokens_decoder", {}).values() if token.special}
    for token in sorted({*special, *tokenizer.all_special_tokens}, key=len, reverse=True):
        if len(token) > 1:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def cut(tokenizer: Any, text: str, limit: int) -> tuple[str, bool]:
    """The beginning of the text, at most `limit` tokens of it, and whether anything was cut off."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    if len(ids) <= limit:
        return text, False
    if not tokenizer.is_fast:
        return tokenizer.decode(ids[:limit], skip_special_tokens=True), True
    ends = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    return text[: ends[limit - 1][1]] if limit > 0 else "", True
