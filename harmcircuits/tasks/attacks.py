"""How the model is brought to answer: `none` (the request alone) or `prefill` (the first words of the answer, or k tokens).

Twins share their prefill, and what is left of it after k tokens is shared too: a triple stays matched under every attack.
"""

from dataclasses import replace

from ..data import Prompt, PromptSet, encode
from ..models.protocol import HookedModel, tokenizer_of

ALL = -1


class AttackError(ValueError):
    """An attack that is unknown; the message says which there are."""


def prefill_tokens(attack: str) -> int:
    """`none` → 0, `prefill` → −1 (all of it), `prefill:4` → 4.

    >>> prefill_tokens("prefill:4")
    4

    Raises:
        AttackError: another word, or no whole number of at least 1 after the colon.
    """
    name, _, count = attack.partition(":")
    if attack == "none":
        return 0
    if attack == "prefill":
        return ALL
    if name == "prefill" and count.isdecimal() and int(count) > 0:
        return int(count)
    raise AttackError(
        f"the attack {attack!r} is unknown: give none, prefill, or prefill:K with K tokens of the prefill, from 1"
    )


def attacked(model: HookedModel, prompts: PromptSet, *, tokens: int = ALL) -> PromptSet:
    """`prompts` with the first `tokens` tokens of each prefill; −1: as they are, 0: without one."""
    if tokens == ALL:
        return prompts
    return PromptSet(tuple(replace(prompt, prefill=_beginning(model, prompt, tokens)) for prompt in prompts), prompts.name)


def _beginning(model: HookedModel, prompt: Prompt, tokens: int) -> str:
    ids = encode(model, prompt.prefill)[:tokens] if prompt.prefill and tokens else []
    text: str = tokenizer_of(model).decode(ids) if ids else ""
    return text
