"""Request information: how much a response answers *this* request.

I = L(response | another request of the same category, same prefill) − L(response | its own request), nats per token.
A response that does not depend on its request has I = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar

import pandas as pd

from ..ablation.ablate import Condition
from ..data import Example, loss
from ..models.protocol import HookedModel


class InformationError(ValueError):
    """There is no other request to put in a request's place."""


@dataclass(frozen=True)
class Information:
    """Column `information`: I of each response, nats per token; positive: it answers its request."""

    name: ClassVar[str] = "information"
    examples: tuple[Example, ...]

    def read(self, model: HookedModel, condition: Condition) -> pd.DataFrame:
        with condition.ablated(model):
            values = loss(model, swapped_requests(self.examples)) - loss(model, self.examples)
        return pd.DataFrame({"item": range(len(self.examples)), "information": values.tolist()})


def swapped_requests(examples: Sequence[Example], *, seed: int = 0) -> list[Example]:
    """Each example under the request of another one of its category and role (its own prefill and response kept).

    Within each category and role the examples are put in a random circle, and each takes the next one's request, so that every
    request is used once and nobody keeps its own. A category with a single example of a role joins the other single ones of
    that role, or failing that takes a request of any category.

    Raises:
        InformationError: one example alone of a role: there is no other request.
    """
    taken: dict[int, int] = {}
    for (role, category), members in _circles(examples).items():
        random = Random(f"{seed} {role} {category}")
        if len(members) > 1:
            order = random.sample(members, len(members))
            taken.update(zip(order, order[1:] + order[:1], strict=True))
        else:
            taken[members[0]] = random.choice(_others(examples, members[0]))
    return [replace(example, request=examples[taken[index]].request) for index, example in enumerate(examples)]


def _circles(examples: Sequence[Example]) -> dict[tuple[object, str | None], list[int]]:
    """Positions by role and category; those alone in theirs together, under the category None."""
    found: dict[tuple[object, str | None], list[int]] = {}
    for index, example in enumerate(examples):
        found.setdefault((example.role, example.category), []).append(index)
    circles = {key: members for key, members in found.items() if len(members) > 1}
    for (role, _), members in found.items():
        if len(members) == 1:
            circles.setdefault((role, None), []).extend(members)
    return circles


def _others(examples: Sequence[Example], alone: int) -> list[int]:
    role, category = examples[alone].role, examples[alone].category
    others = [index for index, example in enumerate(examples) if example.role == role and index != alone]
    if not others:
        raise InformationError(
            f"only one example has the role {role!r} (category {category!r}): there is no other request to read its response "
            "under. Give at least two."
        )
    return others
