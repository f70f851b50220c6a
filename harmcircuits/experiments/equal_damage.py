"""Conditions of a run at equal benign cost: their strengths."""

import logging
from collections.abc import Mapping

from ..components import Circuit, WeightMask
from ..models.protocol import HookedModel
from .asked import Asked
from .frontier import Frontier, FrontierError, frontier
from .iso_damage import IsoDamage, solve, target
from .kept import Kept

log = logging.getLogger(__name__)
SETTING = ("circuit", "aimed-at-twins")
"""The kinds whose weakest condition sets the damage; a control that hardly does anything would make it next to nothing."""
SHARE = 0.25
"""Nor does one set it that cannot do this share of the first circuit's damage: it is left out, with the reason."""
ROLES = 3
ALPHAS, STEPS = (0.67, 0.33, 0.0), 4


def equal_damage(
    model: HookedModel,
    asked: Asked,
    conditions: Mapping[str, tuple[str, Circuit | WeightMask]],
    *,
    kept: Kept | None = None,
    progress: bool = False,
) -> IsoDamage | str:
    """Every condition brought to the same rise on far twins; or why that cannot be done. The verdict's circuit comes first.

    What is `kept` from before is not searched again.
    """
    n = asked.settings.damage_triples
    if not n:
        return "equal damage was not asked for: damage_triples is 0"
    examples = asked.examples[: ROLES * n]
    own = {name: circuit for name, (_, circuit) in conditions.items()}
    kinds = {name: conditions[name][0] for name in own}

    def searched() -> IsoDamage:
        measured = frontier(model, own, examples, alphas=ALPHAS, kinds=kinds, progress=progress)
        damage = target(measured, _setting(measured, [name for name in own if kinds[name] in SETTING]))
        return solve(model, own, examples, damage=damage, measured=measured, steps=STEPS, progress=progress)

    load = lambda path: IsoDamage.load(path, own)
    try:
        return (kept or Kept()).file("damage", searched, load=load, save=IsoDamage.save)
    except FrontierError as error:
        log.warning("conditions were not compared at equal damage: %s", error)
        return str(error)


def _setting(measured: Frontier, names: list[str]) -> list[str]:
    """Those of `names`, the verdict's circuit first, that are not next to harmless beside it."""
    most = {name: measured.damage(name).max() for name in names}
    return [name for name in names if most[name] >= SHARE * most[names[0]]]
