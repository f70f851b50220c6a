"""Request information: how much a response answers *this* request.

I = L(response | another request of the same category, same prefill) − L(response | its own request), nats per token.
A response that does not depend on its request has I = 0. The only response of its category and role has no I (nan).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar

import pandas as pd

from ..ablation.ablate import Condition
from ..data import Example, loss
from ..errors import HarmcircuitsError
from ..models.protocol import HookedModel


@dataclass(frozen=True)
class Information:
    """Column `information`: I of each response, nats per token; positive: it answers its request."""

    name: ClassVar[str] = "information"
    examples: tuple[Example, ...]

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        swapped = swapped_requests(self.examples)
        with condition.ablated(model):
            values = loss(model, [*swapped.values()]) - loss(model, [self.examples[index] for index in swapped])
        information = pd.Series(values.tolist(), [*swapped], dtype=float).reindex(range(len(self.examples)))
        return pd.DataFrame({"item": range(len(self.examples)), "information": information})


def swapped_requests(examples: Sequence[Example], *, seed: int = 0) -> dict[int, Example]:
    """Return by index each example under the request of another one of its category and role, prefill and response unchanged.

    Within each category and role the examples are put in a random circle, and each takes the next one's request, so that every
    request is used once and none stays with its example. An example alone of its category and role is left out.

    Raises:
        HarmcircuitsError: every example is alone.
    """
    groups: dict[tuple[object, str], list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault((example.role, example.category), []).append(index)
    swapped: dict[int, Example] = {}
    for (role, category), members in groups.items():
        order = Random(f"{seed} {role} {category}").sample(members, len(members))
        if len(members) > 1:
            pairs = zip(order, order[1:] + order[:1], strict=True)
            swapped |= {index: replace(examples[index], request=examples[other].request) for index, other in pairs}
    if not swapped:
        raise HarmcircuitsError(
            f"no two of {len(examples)} examples share category and role: there is no other request to read a response under. "
            "Give at least two of a category."
        )
    return dict(sorted(swapped.items()))
