"""Train aligned checkpoints: a model learns to refuse harmful requests and to help with benign ones, then to prefer doing so.

Lessons are made from triples. Refusals are of our own writing; help is what the model itself answers, greedily and without a
prefill, so that it learns to tell requests apart and not to write better. What it would write to a harmful request is used only
as what is *not* to be written. An answer that was stopped in the middle ends with its last whole sentence.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

from ..data import Example, Prompt, PromptSet, Triple, chat_frame, encode
from ..data.elicit import elicit
from ..judges import rules
from ..models.protocol import HookedModel, tokenizer_of
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
SFT = Recipe(method="sft", rank=32, alpha=64, learning_rate=2e-4, epochs=3, batch_size=8)
DPO = Recipe(method="dpo", rank=32, alpha=64, learning_rate=1e-4, epochs=1, batch_size=8, beta=0.1, chosen_weight=1.0)
"""With the loss of what is chosen: preferences alone make refusals rare again, which are rejected as often as chosen."""
ANSWER_TOKENS = 48
"""That the model's own answers have at most."""
_END = re.compile(r"""(?<=[^\s\d])[.!?…]["'”’)\]*]*(?=\s+[^\sa-z]|\s*$)""")
"""Not after a digit, where a list begins more often than a sentence ends; nor before a small letter, as in "e.g. this"."""
Lessons: TypeAlias = list[Lesson]


@dataclass(frozen=True, eq=False)
class Answers:
    """What the model itself writes to each triple, asked without a prefill; "" where that has no end that could be learnt.

    Attributes:
        help: to matched and unrelated benign requests.
        harm: to harmful requests; where it refuses, what it writes after the prefill, and the prefill.
    """

    triples: Sequence[Triple]
    help: Mapping[Prompt, str]
    harm: Mapping[Prompt, str]

    def __repr__(self) -> str:
        return f"Answers({len(self.triples)} triples: {sum(map(bool, self.help.values()))} helpful answers that end)"


def answers(
    model: HookedModel, prompts: PromptSet, *, max_new_tokens: int = ANSWER_TOKENS, seed: int = 0, progress: bool = False
) -> Answers:
    """Elicit the model's own answers, greedily; what it did not end itself is cut to its last whole sentence.

    Raises:
        FinetuneError: no triples, a model that cannot be trained, or one that ends no sentence in `max_new_tokens` tokens.
        ExampleError: as `elicit`.
    """
    check_trainable(model)
    triples = prompts.triples
    if not triples:
        raise FinetuneError("no triples: lessons are made from harmful requests and their benign twins")
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
    """Return lessons of "sft" and of "dpo", triples in a drawn order.

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


def aligned_checkpoints(
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
    """Train "sft", which refuses what is harmful and helps with benign requests, and from it "dpo", which prefers that.

    Give training prompts alone: test requests have to be new to the checkpoints. `model` itself stays as it was.

        train, development, test = hc.load_prompts().split(seed=0)
        tuned = aligned_checkpoints(model, train)
        series = {"base": model, **{name: own.load for name, own in tuned.items()}}
        hc.alignment(series, test, train=train, development=development)

    Args:
        seed: of the refusals drawn, the order of lessons, and training.
        folder: where "sft" and "dpo" go, each with a copy of the model that it starts from. None: places in the cache.
        max_new_tokens: of what the model answers itself.

    Raises:
        FinetuneError: no triples, or as `finetune`.
    """
    found = answers(model, prompts, max_new_tokens=max_new_tokens, seed=seed, progress=progress)
    made: dict[str, Finetuned] = {}
    for name, lessons, recipe in zip(("sft", "dpo"), aligned_lessons(found, seed=seed), (sft, dpo), strict=True):
        place = None if folder is None else Path(folder) / name
        made[name] = finetune(model, lessons, recipe=recipe, seed=seed, folder=place, name=name, progress=progress)
        model = made[name].load()
    return made


def _preferred(prompt: Prompt, response: str, rejected: str) -> Lessons:
    """A preference; none where the two are the same, or one is empty."""
    if not rejected or response == rejected:
        return []
    return [Lesson(request=prompt.request, response=response, rejected=rejected)]


def _ended(model: HookedModel, own: Example) -> str:
    """Prefill and response as their tokens read together, up to the last whole sentence where the writer was stopped; "" where
    no sentence ends in the response."""
    ids = list(own.response_ids or ())
    text: str = tokenizer_of(model).decode([*encode(model, own.prefill), *ids], skip_special_tokens=True)
    if ids and ids[-1] not in chat_frame(model).stops:
        text = whole_sentences(text)
    return text.strip() if len(text.rstrip()) > len(own.prefill) else ""


def whole_sentences(text: str) -> str:
    """A text up to the end of its last whole sentence; "" where there is none.

    >>> whole_sentences("Steps:\\n1. Boil two eggs (e.g. in water).\\n2. Boil them for")
    'Steps:\\n1. Boil two eggs (e.g. in water).'
    """
    ends = [found.end() for found in _END.finditer(text)]
    return text[: ends[-1]] if ends else ""
