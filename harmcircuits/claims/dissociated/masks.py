"""Single weights by the same recipe, whatever the aim; and random ones that look as important."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from ...attribution.weight_scores import WeightAttribution
from ...attribution.weights import attribute_weights
from ...components import WeightMask
from ...examples import Prompt
from ...experiments.checks import EXPLANATION, MATCHED, RECOGNITION, TWINS
from ...selection.matched_weights import matched_weights
from ...selection.protected import SelectionError
from ...selection.weights import select_weights
from ...tasks.explanation import explanation_examples
from ..material import ROLES, Material
from .aims import AIMS, WRITING

log = logging.getLogger(__name__)

NO_WEIGHTS = "weights were not asked for: weight_q is 0"


def weight_masks(
    material: Material, learnt: Sequence[Prompt], why: str, *, progress: bool = False
) -> dict[str, WeightMask | str]:
    """By aim, the mask of q and p, or why there is none. Of each matrix: the top q of A of the aim − the top p of U.

    A is that of harmful responses (generation), of the loss of the right label after harmful and near responses (recognition),
    of reference explanations, and of near twins' responses; U is that of near and far twins' responses, and for the circuit
    aimed at twins that of harmful and far ones. As q and p are the same and what is left is not, masks differ in size.
    """
    model, settings, training = material.model, material.settings, material.training
    harmful, near, far = ([one for at, one in enumerate(training) if at % ROLES == role] for role in range(ROLES))
    twins = [one for pair in zip(harmful, near, strict=True) for one in pair][: 2 * settings.aim_triples]
    writing, aim = material.weight_scores, material.instruments.aim
    scored: dict[str, Callable[[], WeightAttribution]] = {
        WRITING: lambda: writing,
        RECOGNITION: lambda: attribute_weights(model, twins, metric=aim, batch_size=4, progress=progress),
        EXPLANATION: lambda: attribute_weights(model, explanation_examples(learnt), progress=progress),
        TWINS: lambda: attribute_weights(model, near, benign=[*harmful, *far], progress=progress),
    }
    made: dict[str, WeightMask | str] = {EXPLANATION: why} if why else {}
    for name, scores in scored.items():
        if name not in made:
            protect = None if name == TWINS else writing
            select = partial(select_weights, q=settings.weight_q, p=settings.weight_p, protect=protect)
            made[name] = _or_reason(name, partial(select, scores()))
    circuit = made[WRITING]
    match = partial(matched_weights, W=writing, p=settings.weight_p, seed=settings.seed)
    made[MATCHED] = circuit if isinstance(circuit, str) else _or_reason(MATCHED, partial(match, circuit))
    return {name: made[name] for name in AIMS}


def _or_reason(name: str, select: Callable[[], WeightMask]) -> WeightMask | str:
    try:
        return select()
    except SelectionError as error:
        log.warning("no mask of weights %s: %s", name, error)
        return str(error)
