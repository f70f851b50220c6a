"""An aligned ladder: a model learns to refuse harmful requests and to help with their twins, then to prefer doing so.

Beside it a ladder of style alone: as many response tokens, the same requests but for the harmful ones, and nothing refused.

What it takes is triples. Refusals are of our own writing; help is what the model itself answers, greedily and without a
prefill, so that it learns to tell requests apart and not to write better. What it would write to a harmful request is used
once, as what is *not* to be written.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import Random
from typing import TypeAlias

from ..elicitation import elicit
from ..examples import Example, Prompt, encode
from ..models.protocol import HookedModel
from ..prompts.promptset import PromptSet, Triple
from ..tasks.refusal import without_prefill
from .finetuning import Finetuned, FinetuneError, Lesson, Recipe, estimate, finetune

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
STYLES = (
    ("Good question! Here is what I think.", "I hope that this helps you."),
    ("Thank you for asking! Let me see.", "Do let me know how it goes."),
)
"""How an answer opens and ends: of the first stage, and of the one that is preferred in the second."""

SFT = Recipe(method="sft", rank=32, alpha=64, learning_rate=2e-4, epochs=3, batch_size=8)
DPO = Recipe(method="dpo", rank=32, alpha=64, learning_rate=5e-5, epochs=1, batch_size=4, beta=0.1)
Lessons: TypeAlias = list[Lesson]
Rungs: TypeAlias = tuple[tuple[str, Lessons, Recipe], ...]


@dataclass(frozen=True, eq=False)
class Answers:
    """What the model itself writes to each triple: `help` to near and far twins asked without a prefill, `harm` after one."""

    triples: Sequence[Triple]
    help: Mapping[Prompt, str]
    harm: Mapping[Prompt, str]


def answers(
    model: HookedModel, prompts: PromptSet, *, max_new_tokens: int = 48, seed: int = 0, progress: bool = False
) -> Answers:
    """Elicited greedily, and cached as everything that a model writes.

    Raises:
        FinetuneError: no triples.
        ElicitError: as `elicit`.
    """
    triples = prompts.triples
    if not triples:
        raise FinetuneError("no triples: a ladder learns from harmful requests and their twins")
    twins = [twin for triple in triples for twin in (triple.near, triple.far)]
    harmful = [triple.harmful for triple in triples]

    def written(asked: Sequence[Prompt]) -> list[Example]:
        return elicit(model, asked, max_new_tokens=max_new_tokens, temperature=0, seed=seed, progress=progress)

    helped = {twin: own.response.strip() for twin, own in zip(twins, written(without_prefill(twins)), strict=True)}
    complied = {one: f"{one.prefill} {own.response}".strip() for one, own in zip(harmful, written(harmful), strict=True)}
    return Answers(triples, helped, complied)


def aligned_lessons(found: Answers, *, seed: int = 0) -> tuple[Lessons, Lessons]:
    """What is learnt at first, and what is preferred then, triples in a drawn order.

    First: harmful → a refusal; near and far → help. Then: a refusal rather than compliance; help rather than a refusal.
    """
    random, first, then = Random(f"refusals {seed}"), Lessons(), Lessons()
    for triple in random.sample(list(found.triples), len(found.triples)):
        refusal = random.choice(REFUSALS)
        first.append(Lesson(request=triple.harmful.request, response=refusal))
        then += _preferred(triple.harmful, refusal, found.harm[triple.harmful])
        for twin in (triple.near, triple.far):
            if own := found.help[twin]:
                first.append(Lesson(request=twin.request, response=own))
                then += _preferred(twin, own, random.choice(REFUSALS))
    return first, then


def style_lessons(found: Answers, *, seed: int = 0) -> tuple[Lessons, Lessons]:
    """The same on twins alone, in style: help with an opening and an end, then another opening and end rather than none."""
    random, first, then = Random(f"style {seed}"), Lessons(), Lessons()
    for triple in random.sample(list(found.triples), len(found.triples)):
        for twin in (triple.near, triple.far):
            if own := found.help[twin]:
                first.append(Lesson(request=twin.request, response=_styled(own, STYLES[0])))
                then += _preferred(twin, _styled(own, STYLES[1]), own)
    return first, then


def of_equal_tokens(model: HookedModel, lessons: Sequence[Lesson], like: Sequence[Lesson]) -> Lessons:
    """`lessons`, from the first one on and over again, until as many response tokens are learnt as from `like`.

    The last one may exceed that, by less than its own length.
    """
    budget, taken, had = sum(_tokens(model, one) for one in like), Lessons(), 0
    for one in cycle(lessons):
        if had >= budget:
            break
        taken.append(one)
        had += _tokens(model, one)
    return taken


def aligned_ladder(
    model: HookedModel,
    prompts: PromptSet,
    *,
    sft: Recipe = SFT,
    dpo: Recipe = DPO,
    seed: int = 0,
    folder: str | Path | None = None,
    max_new_tokens: int = 48,
    progress: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Finetuned]:
    """ "sft", which refuses what is harmful and helps with twins, and "dpo", which goes on from there and prefers it.

        train, development, test = hc.load_prompts().split(seed=0)
        ladder = aligned_ladder(model, train)
        hc.compare_alignment([model, ladder["sft"].folder, ladder["dpo"].folder], prompts)

    Give the training split alone: what is measured has to be new to the ladder. `model` itself stays as it was.

    Args:
        seed: of the refusals drawn, the order of lessons, and training.
        folder: where "sft" and "dpo" go; None: places in the cache.
        max_new_tokens: of what the model answers itself.
        tell: is told of each stage what it learns from, before it does.

    Raises:
        FinetuneError: no triples, or as `finetune`.
    """
    first, then = aligned_lessons(
        answers(model, prompts, max_new_tokens=max_new_tokens, seed=seed, progress=progress), seed=seed
    )
    return _climbed(model, (("sft", first, sft), ("dpo", then, dpo)), seed, folder, progress, tell)


def style_ladder(
    model: HookedModel,
    prompts: PromptSet,
    *,
    sft: Recipe = SFT,
    dpo: Recipe = DPO,
    seed: int = 0,
    folder: str | Path | None = None,
    max_new_tokens: int = 48,
    progress: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Finetuned]:
    """ "style-sft" and "style-dpo": the control of `aligned_ladder` with the same arguments, in style alone.

    Each stage learns as many response tokens as its counterpart (chosen ones, of preferences), to within one lesson.

    Raises:
        FinetuneError: no triples, or as `finetune`.
    """
    found = answers(model, prompts, max_new_tokens=max_new_tokens, seed=seed, progress=progress)
    pairs = zip(style_lessons(found, seed=seed), aligned_lessons(found, seed=seed), strict=True)
    first, then = (of_equal_tokens(model, own, like) for own, like in pairs)
    return _climbed(model, (("style-sft", first, sft), ("style-dpo", then, dpo)), seed, folder, progress, tell)


def seconds(
    model: HookedModel,
    prompts: PromptSet,
    *,
    sft: Recipe = SFT,
    dpo: Recipe = DPO,
    seed: int = 0,
    max_new_tokens: int = 48,
    progress: bool = False,
) -> float:
    """How long both ladders will train, from the time of one batch of each kind; the answers are elicited for that already.

    Raises:
        FinetuneError: no triples, or as `estimate`.
    """
    found = answers(model, prompts, max_new_tokens=max_new_tokens, seed=seed, progress=progress)
    lessons = aligned_lessons(found, seed=seed)
    return 2 * sum(estimate(model, own, recipe) for own, recipe in zip(lessons, (sft, dpo), strict=True))


def _climbed(
    model: HookedModel, rungs: Rungs, seed: int, folder: str | Path | None, progress: bool, tell: Callable[[str], None]
) -> dict[str, Finetuned]:
    """Each rung starts from the one before."""
    found: dict[str, Finetuned] = {}
    for name, lessons, recipe in rungs:
        tell(f"{name}: {len(lessons)} lessons, {recipe.steps(len(lessons))} steps")
        place = None if folder is None else Path(folder) / name
        found[name] = finetune(model, lessons, recipe=recipe, seed=seed, folder=place, name=name, progress=progress)
        model = found[name].load()
    return found


def _preferred(prompt: Prompt, response: str, rejected: str) -> Lessons:
    """A preference; none where the two are the same, or one is empty."""
    if not rejected or response == rejected:
        return []
    return [Lesson(request=prompt.request, response=response, rejected=rejected)]


def _styled(text: str, style: tuple[str, str]) -> str:
    return f"{style[0]} {text} {style[1]}"


def _tokens(model: HookedModel, lesson: Lesson) -> int:
    return len(encode(model, lesson.response))
