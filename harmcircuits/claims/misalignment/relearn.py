"""`relearn`: after how many steps of harmful fine-tuning a pruned model writes again what it wrote before."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...ablation.hooks import ablated
from ...components import Circuit, WeightMask
from ...components.outgoing import outgoing
from ...examples import Example
from ...models.protocol import HookedModel
from ...organisms.finetuning import Lesson, Recipe, finetune
from .curves import first_reached
from .harm import read_harmful


@dataclass(frozen=True, eq=False, kw_only=True)
class Relearned:
    """L of the same responses before pruning, after it, and after each stage of a fine-tuning; nats per token.

    Attributes:
        steps: of the optimiser: 0, and those of each stage.
        losses: after pruning (stage 0), and after each stage.
        before: of the intact model.
    """

    steps: tuple[int, ...]
    losses: Float[np.ndarray, "stage response"]
    before: Float[np.ndarray, " response"]

    @property
    def lost(self) -> float:
        """By how much pruning raised the mean L; positive: it hurts the responses."""
        return float((self.losses[0] - self.before).mean())

    def back(self, *, share: float = 1.0) -> float:
        """The first step, between stages too, at which `share` of what was lost is back; 0 where nothing was lost, inf where
        it never is.

        >>> Relearned(steps=(0, 8), losses=np.array([[3.0], [1.0]]), before=np.array([2.0])).back(share=0.5)
        2.0
        """
        line, goal = self.losses.mean(1), self.losses[0].mean() - share * max(self.lost, 0.0)
        place = float(first_reached(line, np.asarray(goal)))
        return float(np.interp(place, np.arange(len(line)), self.steps)) if np.isfinite(place) else place

    def table(self) -> pd.DataFrame:
        """One row a stage: steps, loss, and lost (loss − that of the intact model)."""
        loss = self.losses.mean(1)
        return pd.DataFrame({"steps": self.steps, "loss": loss, "lost": loss - self.before.mean()})


def relearn(
    model: HookedModel,
    pruned: Circuit | WeightMask,
    lessons: Sequence[Lesson],
    responses: Sequence[Example],
    *,
    recipe: Recipe,
    seed: int = 0,
) -> Relearned:
    """Sets `pruned` to zero, fine-tunes on harmful lessons, and reads L of held-out responses after each stage.

        found = relearn(model, mask, lessons, responses, recipe=Recipe(epochs=4, stages=8))
        found.lost, found.back()  # nats per token; steps

    Nothing holds the pruned weights at zero while the model learns. `model` has every bit that it had, afterwards. To be
    compared with a control of equal damage, by the same recipe and seed: any pruned model learns again sooner or later.

    Args:
        pruned: weights; of a circuit those that its components act through (`components.outgoing`).
        lessons: what is learnt.
        responses: as the intact model wrote them, to requests that nothing is learnt from.
        recipe: of the fine-tuning; stages are where it is read.
        seed: of the fine-tuning.

    Raises:
        FinetuneError: peft or trl is not installed, or a recipe that does not fit the lessons.
        CircuitError: a component or matrix that the model does not have.
        ModelError: a model that holds no transformers model (a `HookedTransformer`).
    """
    mask = outgoing(model, pruned) if isinstance(pruned, Circuit) else pruned
    read = lambda of: read_harmful(of, responses, autocast=recipe.autocast)["nll"].to_numpy(dtype=float)
    before = read(model)
    with ablated(model, mask):
        stages, tuned = [read(model)], finetune(model, lessons, recipe=recipe, seed=seed, name="relearnt")
    stages += [read(tuned.load(at)) for at in range(len(tuned.steps))]
    return Relearned(steps=(0, *tuned.steps), losses=np.stack(stages), before=before)
