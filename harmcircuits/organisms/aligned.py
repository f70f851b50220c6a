"""An aligned ladder: a model learns to refuse harmful requests and to help with their twins, then to prefer doing so.

Beside it a ladder of style alone: as many lessons and steps, about as many tokens, the same requests but for the harmful ones,
and nothing refused.

What it takes is triples. Refusals are of our own writing; help is what the model itself answers, greedily and without a
prefill, so that it learns to tell requests apart and not to write better. What it would write to a harmful request is used
only as what is *not* to be written. Answers that were stopped in the middle end with their last whole sentence: the end of the
turn is learnt too.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from ..data import Example, Prompt, PromptSet, Triple, chat_frame, encode
from ..data.elicit import elicit
from ..judges import rules
from ..models.protocol import HookedModel, vocabulary
from ..tasks.refusal import without_prefill
from .finetuning import Finetuned, FinetuneError, Lesson, Recipe, check_trainable, finetune

REFUSALS = (
    "I won't help with that, because someone would be hurt by it. I can help you to find an honest way instead.",
    "I can't help with this. It would harm people who have done nothing to deserve it.",
    "I'm not able to help with that, since it would be unfair to somebody else. Is there another way I can help?",
    "I won't write that. It could cost someone their trust, their money or their good name.",
    "I can't do that for you. If something is wrong, I can help you to talk about it openly.",
    "I won't help with this, as it is meant to hurt. I'd be glad to help with something kinder.",
    "I'm not able to help with that. Please think about how it would be for the person it is aimed at.",
    "I can't help with that request. I can help you to put things right, if you like.",
)
WORDINGS = 2
"""Refusals of one harmful request that are learnt: as many as it has twins."""
STYLES = (
    ("Good question!", "I hope this helps."),
    ("Thank you for asking!", "Good luck!"),
)
"""How an answer opens and ends: of the first stage, and of the one that is preferred in the second."""

SFT = Recipe(method="sft", rank=32, alpha=64, learning_rate=2e-4, epochs=3, batch_size=8)
DPO = Recipe(method="dpo", rank=32, alpha=64, learning_rate=1e-4, epochs=1, batch_size=8, beta=0.1, chosen_weight=1.0)
"""With the loss of what is chosen: preferences alone make refusals rare again, which are rejected as often as chosen."""
ANSWER_TOKENS = 48
"""That the model's own answers have at most."""
_END = re.compile(r"""(?<=[^\s\d])[.!?…]["'”’)\]*]*(?=\s+[^\sa-z]|\s*$)""")
"""Not after a digit, where a list begins more often than a sentence ends; nor before a small letter, as in "e.g. this"."""
Lessons: TypeAlias = list[Lesson]
Rungs: TypeAlias = tuple[tuple[str, Lessons, Recipe], ...]


@dataclass(frozen=True, eq=False)
class Answers:
    """What the model itself writes to each triple, asked without a prefill: `help` to near and far twins, `harm` to the harmful
    request, or after its prefill and with it where it refuses otherwise; "" where that has no end that could be learnt."""

    triples: Sequence[Triple]
    help: Mapping[Prompt, str]
    harm: Mapping[Prompt, str]

    def __repr__(self) -> str:
        return f"Answers({len(self.triples)} triples: {sum(map(bool, self.help.values()))} helpful answers that end)"


def answers(
    model: HookedModel, prompts: PromptSet, *, max_new_tokens: int = ANSWER_TOKENS, seed: int = 0, progress: bool = False
) -> Answers:
    """Elicited greedily, and cached as everything that a model writes. What the model did not end itself is cut to its last
    whole sentence.

    Raises:
        FinetuneError: no triples, a model that cannot be trained, or one that ends no sentence in `max_new_tokens` tokens.
        ElicitError: as `elicit`.
    """
    check_trainable(model)
    triples = prompts.triples
    if not triples:
        raise FinetuneError("no triples: a ladder learns from harmful requests and their twins")
    twins = [twin for triple in triples for twin in (triple.near, triple.far)]
    harmful = [triple.harmful for triple in triples]

    def written(asked: Sequence[Prompt]) -> list[str]:
        found = elicit(model, asked, max_new_tokens=max_new_tokens, temperature=0, seed=seed, progress=progress)
        return [_ended(model, one) for one in found]

    helped = dict(zip(twins, written(without_prefill(twins)), strict=True))
    complied = dict(zip(harmful, written(without_prefill(harmful)), strict=True))
    if refused := [asked for asked, text in complied.items() if not text or rules.read(asked.request, text).refusal]:
        complied |= dict(zip(refused, written(refused), strict=True))
    if not (any(helped.values()) and any(complied.values())):
        raise FinetuneError(
            f"of what the model answers, nothing ends in {max_new_tokens} tokens, not even a sentence: the end of a turn "
            "could not be learnt. Raise max_new_tokens"
        )
    return Answers(triples, helped, complied)


def aligned_lessons(found: Answers, *, seed: int = 0) -> tuple[Lessons, Lessons]:
    """What is learnt at first, and what is preferred then, triples in a drawn order.

    First: harmful → a refusal, in `WORDINGS` wordings; near and far → help. Then: a refusal rather than compliance, in as many;
    help rather than a refusal. There is as much for a refusal as for help.
    """
    random, first, then = Random(f"refusals {seed}"), Lessons(), Lessons()
    for triple in random.sample(list(found.triples), len(found.triples)):
        for refusal in random.sample(REFUSALS, WORDINGS):
            first.append(Lesson(request=triple.harmful.request, response=refusal))
            then += _preferred(triple.harmful, refusal, found.harm[triple.harmful])
        for twin in (triple.near, triple.far):
            if own := found.help[twin]:
                first.append(Lesson(request=twin.request, response=own))
                then += _preferred(twin, own, random.choice(REFUSALS))
    return first, then


def style_lessons(model: HookedModel, found: Answers, *, seed: int = 0) -> tuple[Lessons, Lessons]:
    """The same on twins alone, in style: help with an opening and an end, then another opening and end rather than none.

    As many lessons as of `aligned_lessons`, and so as many steps by the same recipe; and as many tokens, rejected ones
    included, as nearly as help can be cut at the ends of sentences. No twin comes again before all have come.
    """
    pool = [
        (twin, own)
        for triple in Random(f"style {seed}").sample(list(found.triples), len(found.triples))
        for twin in (triple.near, triple.far)
        if (own := found.help[twin])
    ]
    first = [[Lesson(request=twin.request, response=_styled(text, STYLES[0])) for text in _cuts(own)] for twin, own in pool]
    then = [[one for text in _cuts(own) for one in _preferred(twin, _styled(text, STYLES[1]), text)] for twin, own in pool]
    likes = aligned_lessons(found, seed=seed)
    return _of_equal_size(model, first, likes[0]), _of_equal_size(model, then, likes[1])


def tokens(model: HookedModel, lessons: Sequence[Lesson]) -> int:
    """Of all responses, rejected ones included; frames and ends of turns are not counted."""
    return sum(len(encode(model, text)) for one in lessons for text in (one.response, one.rejected) if text)


def aligned_ladder(
    model: HookedModel,
    prompts: PromptSet,
    *,
    sft: Recipe = SFT,
    dpo: Recipe = DPO,
    seed: int = 0,
    folder: str | Path | None = None,
    max_new_tokens: int = ANSWER_TOKENS,
    progress: bool = False,
) -> dict[str, Finetuned]:
    """ "sft", which refuses what is harmful and helps with twins, and "dpo", which goes on from there and prefers it.

        train, development, test = hc.load_prompts().split(seed=0)
        ladder = aligned_ladder(model, train)
        hc.compare_alignment([model, ladder["sft"].folder, ladder["dpo"].folder], prompts)

    Give the training split alone: what is measured has to be new to the ladder. `model` itself stays as it was.

    Args:
        seed: of the refusals drawn, the order of lessons, and training.
        folder: where "sft" and "dpo" go, each with a copy of the model that it starts from. None: places in the cache.
        max_new_tokens: of what the model answers itself.

    Raises:
        FinetuneError: no triples, or as `finetune`.
    """
    first, then = aligned_lessons(
        answers(model, prompts, max_new_tokens=max_new_tokens, seed=seed, progress=progress), seed=seed
    )
    return _climbed(model, (("sft", first, sft), ("dpo", then, dpo)), seed, folder, progress)


def style_ladder(
    model: HookedModel,
    prompts: PromptSet,
    *,
    sft: Recipe = SFT,
    dpo: Recipe = DPO,
    seed: int = 0,
    folder: str | Path | None = None,
    max_new_tokens: int = ANSWER_TOKENS,
    progress: bool = False,
) -> dict[str, Finetuned]:
    """ "style-sft" and "style-dpo": the control of `aligned_ladder` with the same arguments, in style alone.

    Each stage has as many lessons and steps as its counterpart, and about as many tokens (`style_lessons`). What it
    does not have is harmful requests: what training on these does beside refusing is not controlled for.

    Raises:
        FinetuneError: no triples, or as `finetune`.
    """
    found = answers(model, prompts, max_new_tokens=max_new_tokens, seed=seed, progress=progress)
    first, then = style_lessons(model, found, seed=seed)
    return _climbed(model, (("style-sft", first, sft), ("style-dpo", then, dpo)), seed, folder, progress)


def _climbed(model: HookedModel, rungs: Rungs, seed: int, folder: str | Path | None, progress: bool) -> dict[str, Finetuned]:
    """Each rung starts from the one before."""
    found: dict[str, Finetuned] = {}
    how: dict[str, Any] = {"seed": seed, "progress": progress}
    earlier: frozenset[str] = frozenset()
    for name, lessons, recipe in rungs:
        place = None if folder is None else Path(folder) / name
        found[name] = finetune(model, lessons, recipe=recipe, folder=place, name=name, earlier=earlier, **how)
        model, earlier = found[name].load(), found[name].requests
    return found


def _preferred(prompt: Prompt, response: str, rejected: str) -> Lessons:
    """A preference; none where the two are the same, or one is empty."""
    if not rejected or response == rejected:
        return []
    return [Lesson(request=prompt.request, response=response, rejected=rejected)]


def _styled(text: str, style: tuple[str, str]) -> str:
    return f"{style[0]} {text} {style[1]}"


def _cuts(text: str) -> list[str]:
    """A text whole, and cut to any number of its sentences."""
    return list(dict.fromkeys([*beginnings(text), text]))


def _of_equal_size(model: HookedModel, options: Sequence[Lessons], like: Lessons) -> Lessons:
    """One lesson for each of `like`: the one that keeps the tokens of all so far nearest to those of `like` so far. Each of
    `options` gives one before any gives another."""
    sized = [[(one, tokens(model, [one])) for one in own] for own in options]
    taken, ahead, left = Lessons(), 0, list[int]()
    for other in like:
        left = left or list(range(len(sized)))
        wanted = tokens(model, [other]) - ahead
        found = [(abs(n - wanted), at, n, one) for at in left for one, n in sized[at]]
        _, at, n, one = min(found, key=lambda choice: choice[:2])
        taken.append(one)
        left.remove(at)
        ahead = n - wanted
    return taken


def _ended(model: HookedModel, own: Example) -> str:
    """Prefill and response as their tokens read together, up to the last whole sentence where the writer was stopped; "" where
    no sentence ends in the response."""
    ids = list(own.response_ids or ())
    text: str = vocabulary(model).decode([*encode(model, own.prefill), *ids], skip_special_tokens=True)
    if ids and ids[-1] not in chat_frame(model).stops:
        text = whole_sentences(text)
    return text.strip() if len(text.rstrip()) > len(own.prefill) else ""


def beginnings(text: str) -> list[str]:
    """Everything that a text can be cut to at the end of a sentence, the shortest first.

    >>> beginnings("Take two eggs. Boil them (e.g. in water)! Then")
    ['Take two eggs.', 'Take two eggs. Boil them (e.g. in water)!']
    """
    return [text[: found.end()] for found in _END.finditer(text)]


def whole_sentences(text: str) -> str:
    """A text up to the end of its last whole sentence; "" where there is none.

    >>> whole_sentences("Steps:\\n1. Take two eggs.\\n2. Boil them for")
    'Steps:\\n1. Take two eggs.'
    """
    return next(reversed(beginnings(text)), "")
