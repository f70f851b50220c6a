"""What every condition is asked: laid out by the intact model before any condition is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..data import Example, Prompt, PromptSet
from .instruments import Instruments
from .scores import triple_prompts
from .settings import ClaimSettings


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked:
    """The test triples and all that is read of them.

    Attributes:
        prompts: harmful, near, far of each triple, in order; what is called an `example` by number is one of these.
        examples: their responses, sampled by the intact model.
        kl: whether the intact model's distributions are compared with each condition's.
    """

    prompts: Sequence[Prompt]
    examples: Sequence[Example]
    instruments: Instruments
    settings: ClaimSettings
    kl: bool = True

    @property
    def twins(self) -> list[int]:
        """Numbers of the harmful and near examples that are answered freely."""
        return [at for at in range(len(self.prompts)) if at % 3 < 2][: 2 * self.settings.written_triples]


def lay_out(
    test: PromptSet,
    examples: Sequence[Example],
    instruments: Instruments,
    settings: ClaimSettings,
    *,
    kl: bool = True,
) -> Asked:
    """`examples`: what `respond(model, test)` gives."""
    return Asked(
        prompts=triple_prompts(test),
        examples=examples,
        instruments=instruments,
        settings=settings,
        kl=kl,
    )
