"""Selection recipes of the field, beside first-order attribution: one function a file, one line in `RECIPES`.

Each is `recipe(model, harmful, benign) → Attribution`: a score of every head or neuron (not both: those of the other kind are
NaN), of which `select` takes the largest. `harmful` and `benign` are responses under attack, as many of both as there may be.
Recipes of single weights are in `circuits/weight_selection.py`.
"""

from collections.abc import Callable, Sequence

from ...attribution.scores import Attribution
from ...data import Example
from ...models.protocol import HookedModel
from .activation_difference import activation_difference
from .contrastive import contrastive
from .head_kl import head_kl
from .random import random

Recipe = Callable[[HookedModel, Sequence[Example], Sequence[Example]], Attribution]
RECIPES: dict[str, Recipe] = {
    "activation difference": activation_difference,
    "contrastive": contrastive,
    "head KL": head_kl,
    "random": random,
}
