"""Whether narrow fine-tuning brings harmful text back too: L of the intact model's responses to a few harmful test requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...examples import Example, loss
from ...experiments.checks import ready_splits
from ...experiments.names import name_of_examples
from ...experiments.scores import chosen_triples, first_triples, respond
from ...models.autocast import products_in_bfloat16
from ...models.protocol import HookedModel
from ...tasks.attacks import attacked
from ..material import ROLES
from .plan import DAMAGE, HARMFUL, NOTHING, Run
from .study import Study

FEW = 16
"""Test triples whose harmful request is read."""
READ = (NOTHING, HARMFUL, DAMAGE)
"""What was pruned in models that are read, when they learnt bad advice."""


@dataclass(frozen=True, eq=False)
class Harm:
    """L of harmful responses, nats per token, by run, before the fine-tuning (stage 0: after pruning) and after each stage; and
    that of the intact model."""

    losses: Mapping[Run, Float[np.ndarray, "stage response"]] = field(default_factory=dict)
    base: Float[np.ndarray, " response"] = field(default_factory=lambda: np.zeros(0))


def harmful_responses(study: Study, *, progress: bool = False) -> list[Example]:
    """Of the intact model, sampled, as other claims read them; none where nothing is pruned on harmful requests.

    Raises:
        ExperimentError, PromptError, ElicitError: prompts on which nothing can be measured.
    """
    if HARMFUL not in study.plan.arms:
        return []
    settings = study.settings
    _, _, test = ready_splits(study.prompts, seed=settings.seed)
    few = first_triples(chosen_triples(test, settings.test_triples, seed=settings.seed), FEW)
    asked = attacked(study.model, few, tokens=settings.prefill_tokens)
    return respond(study.model, asked, settings, progress=progress)[::ROLES]


def read_harmful(model: HookedModel, responses: Sequence[Example], *, autocast: bool = False) -> pd.DataFrame:
    """One row a response, in order: nll (L, nats per token); `autocast` as of `read_advice`."""
    with products_in_bfloat16(model, on=autocast):
        return pd.DataFrame({"nll": loss(model, responses).double().numpy()})


def harm_of(study: Study, responses: Sequence[Example], parts: Mapping[Run, pd.DataFrame]) -> Harm:
    """From rows of `training.Parts.harmful`, by run; those that have none are left out."""
    if not responses:
        return Harm()
    make = lambda: read_harmful(study.model, responses, autocast=study.recipe.autocast)
    base = study.before("harmful", None, name_of_examples(responses), make)
    stages = lambda frame: np.stack([own["nll"].to_numpy(dtype=float) for _, own in frame.groupby("stage", sort=True)])
    return Harm({run: stages(frame) for run, frame in parts.items() if len(frame)}, base["nll"].to_numpy(dtype=float))
