"""What every condition is asked: laid out by the intact model before any condition is looked at."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..examples import Example, Prompt
from ..prompts.promptset import PromptSet
from ..tasks.explanation import has_reference
from .instruments import Instruments
from .scores import triple_prompts
from .settings import Settings

FEWEST_EXPLAINED = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """The test triples and all that is read of them.

    Attributes:
        prompts: harmful, near, far of each triple, in order; what is called an `example` by number is one of these.
        examples: their responses, sampled by the intact model.
        explained: harmful requests that have a reference explanation, of the first triples.
        unexplained: why there are none.
        kl: whether the intact model's distributions are compared with each condition's.
    """

    prompts: Sequence[Prompt]
    examples: Sequence[Example]
    explained: Sequence[Prompt]
    instruments: Instruments
    settings: Settings
    unexplained: str = ""
    kl: bool = True

    @property
    def twins(self) -> list[int]:
        """Numbers of the harmful and near examples that are answered freely."""
        return [at for at in range(len(self.prompts)) if at % 3 < 2][: 2 * self.settings.written_triples]


def lay_out(
    test: PromptSet,
    examples: Sequence[Example],
    instruments: Instruments,
    settings: Settings,
    *,
    kl: bool = True,
) -> Asked:
    """`examples`: what `respond(model, test)` gives."""
    explained, why = explained_prompts(test, settings.explained_triples)
    return Asked(
        prompts=triple_prompts(test),
        examples=examples,
        explained=explained,
        unexplained=why,
        instruments=instruments,
        settings=settings,
        kl=kl,
    )


def explained_prompts(prompts: PromptSet, most: int, *, setting: str = "explained_triples") -> tuple[list[Prompt], str]:
    """Harmful requests of the first triples that have a reference explanation, and why there are none.

    `setting`: what `most` is called there.
    """
    found = [triple.harmful for triple in prompts.triples if has_reference(triple.harmful)][:most]
    largest = max(Counter(prompt.category for prompt in found).values(), default=0)
    if len(found) >= FEWEST_EXPLAINED and 2 * largest <= len(found):
        return found, ""
    if most < FEWEST_EXPLAINED:
        return [], f"explanations were not asked for: {setting} is {most}, and at least {FEWEST_EXPLAINED} are needed"
    if len(found) >= FEWEST_EXPLAINED:
        return [], f"{largest} of {len(found)} of these requests are of one category: half must be of others, to mismatch them"
    return [], (
        f"{len(found)} of these requests have a reference explanation (the built-in prompts do), and at least "
        f"{FEWEST_EXPLAINED} are needed"
    )
