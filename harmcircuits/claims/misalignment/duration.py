"""How long a run will take, before it begins."""

from dataclasses import dataclass
from time import perf_counter

from ...models.protocol import HookedModel
from ...organisms.finetuning import Recipe, estimate
from .plan import Plan
from .questions import lessons, questions, read_advice
from .study import RECIPE
from .training import PLACES

TIMED = 8
"""Questions that are read for the time it takes."""


@dataclass(frozen=True)
class Forecast:
    """What is to be done, nothing of it being kept yet.

    Attributes:
        models: that are fine-tuned.
        training, reading: seconds of all of them, once: a lower bound, since masks, free answers, harmful responses, loading
            and saving come on top.
        first: of the models, without pruning: the others follow only where these show that bad advice is induced.
        again: of `first`, which are trained and read once more then.
        back: seconds of reading these with base values put back on each mask, and everywhere but on it.
    """

    models: int
    training: float
    reading: float
    first: int = 0
    again: int = 0
    back: float = 0

    @property
    def seconds(self) -> float:
        return self.training + self.reading + self.back

    def __str__(self) -> str:
        each = (self.training + self.reading) / self.models
        took = lambda models, more=0.0: f"in at least {(each * models + more) / 60:.0f} minutes"
        if self.first in (0, self.models):
            return f"{self.models} models are fine-tuned and read, {took(self.models)}"
        left = self.models - self.first
        return (
            f"{self.first} models are fine-tuned and read, {took(self.first)}, and where these learnt to advise badly, up to "
            f"{left} more after pruning and {self.again} of them once more, {took(left + self.again, self.back)}"
        )


def forecast(model: HookedModel, plan: Plan, *, recipe: Recipe = RECIPE, seed: int = 0) -> Forecast:
    """From the time of a few training steps, and of reading a few answers. All lessons are about as long.

    Args:
        plan: which models.
        recipe: as of `emergent_misalignment`.
        seed: of the division of questions.

    Raises:
        FinetuneError: a recipe that does not fit the lessons.
        AdviceError: as many questions are to be learnt from as there are.
    """
    asked, runs = questions(plan, seed=seed), plan.runs()
    training = len(runs) * estimate(model, lessons(asked.learnt[plan.domains[0]], "bad", method=recipe.method), recipe)
    few = asked.asked[:TIMED]
    start = perf_counter()
    read_advice(model, few, autocast=recipe.autocast)
    per_question = (perf_counter() - start) / len(few)
    again = len(plan.again(runs))
    once = per_question * len(asked.asked)
    back = once * len(PLACES) * len(plan.put_back()) * again
    reading = once * (recipe.stages + 1) * len(runs)
    return Forecast(len(runs), training, reading, first=len(plan.first(runs)), again=again, back=back)
