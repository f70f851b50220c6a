"""Which checkpoints are measured: a ladder from a base model on, and other ladders of as many steps from the same base."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ...models.protocol import HookedModel
from ..earlier import ClaimError

LADDER = "ladder"
"""The name of the one that is asked about; the others have names of their own."""

Given: TypeAlias = HookedModel | str | Path
"""A model that is held already, or what it is loaded by."""
Load: TypeAlias = Callable[[str | Path], HookedModel]


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage:
    """One checkpoint.

    Attributes:
        name: in results; no two stages have the same.
        given: the model, or what it is loaded by.
        ladder: that it belongs to; the base belongs to `LADDER`, and every other ladder begins with it.
        at: its place there, the base being 0.
    """

    name: str
    given: Any
    ladder: str
    at: int

    @property
    def named(self) -> bool:
        """Whether it was given by name, and not held already."""
        return isinstance(self.given, str | Path)

    def held(self, load: Load) -> HookedModel:
        """The model, loaded now where it was given by name."""
        found: HookedModel = load(self.given) if self.named else self.given
        return found


def stages(
    models: Sequence[Given], names: Sequence[str] | None, controls: Mapping[str, Sequence[Given]], *, fixed: int
) -> list[Stage]:
    """Every checkpoint, the ladder first, in order; a control's stages follow the base that it shares.

    Raises:
        ClaimError: fewer than two models, names that do not match, a control of another length or with a name that means
            something else, or a fixed writer that is not on the ladder.

    >>> [one.name for one in stages(["base", "runs/sft"], None, {"style only": ["runs/style"]}, fixed=0)]
    ['1: base', '2: sft', 'style only, 2: style']
    """
    _check(models, names, controls, fixed)
    own = names or [_name(at, given) for at, given in enumerate(models)]
    found = [
        Stage(name=name, given=given, ladder=LADDER, at=at) for at, (name, given) in enumerate(zip(own, models, strict=True))
    ]
    for control, others in controls.items():
        found += [
            Stage(name=f"{control}, {_name(at, given)}", given=given, ladder=control, at=at)
            for at, given in enumerate(others, 1)
        ]
    return found


def _check(models: Sequence[Given], names: Sequence[str] | None, controls: Mapping[str, Sequence[Given]], fixed: int) -> None:
    if isinstance(models, str) or len(models) < 2:
        raise ClaimError("a ladder is a list of at least two models in order (base, SFT, DPO …), and three for a trend")
    if names is not None and (len(names) != len(models) or len({*names}) < len(names)):
        raise ClaimError(f"{len(models)} models need as many names, each another: not {list(names)}")
    for control, others in controls.items():
        if control in (LADDER, ""):
            raise ClaimError(f"a control cannot be called {control!r}: name it after what it changes ('style only')")
        if isinstance(others, str) or len(others) != len(models) - 1:
            raise ClaimError(
                f"the control {control!r} needs {len(models) - 1} models, one for each after the base, which it shares: "
                f"not {1 if isinstance(others, str) else len(others)}"
            )
    if not 0 <= fixed < len(models):
        raise ClaimError(f"fixed={fixed}: the model whose responses all stages are read on is one of 0 to {len(models) - 1}")


def _name(at: int, given: Given) -> str:
    """Numbered, so that one model given twice has two names."""
    return f"{at + 1}: {Path(given).name}" if isinstance(given, str | Path) else f"stage {at + 1}"
