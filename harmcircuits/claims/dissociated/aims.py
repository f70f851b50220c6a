"""What conditions there are: at each grain, one an aim."""

from collections.abc import Sequence

from ...experiments.asked import FEWEST_EXPLAINED
from ...experiments.checks import EXPLANATION, MATCHED, RECOGNITION, TWINS
from ...experiments.settings import Settings
from ..claim import ClaimError

BOTH, WEIGHTS = "heads and neurons", "weights"
GRAINS = (BOTH, "heads", "neurons", WEIGHTS)
WRITING = "aimed at generation"
AIMS = {
    WRITING: "circuit",
    RECOGNITION: "aimed-at-recognition",
    EXPLANATION: "aimed-at-explanation",
    TWINS: "aimed-at-twins",
    MATCHED: "matched-random",
}
"""By aim, the kind that a figure draws it as."""
EXPLAINED = 24


def name(grain: str, aim: str) -> str:
    """What a condition is called.

    >>> name("heads", WRITING)
    'heads: aimed at generation'
    """
    return f"{grain}: {aim}"


def cost(*, grains: Sequence[str] = GRAINS, explained: int = EXPLAINED, settings: Settings | None = None) -> int:
    """How many conditions `dissociated` reads, the intact model apart, where all of them can be built: five a grain, four
    where nothing is explained.

    Raises:
        ClaimError: see `checked`.

    >>> cost(), cost(grains=["heads"], explained=0)
    (20, 4)
    """
    read = [grain for grain in checked(grains, explained) if grain != WEIGHTS or (settings or Settings()).weight_q]
    return len(read) * (len(AIMS) - (explained < FEWEST_EXPLAINED))


def checked(grains: Sequence[str], explained: int) -> tuple[str, ...]:
    """The grains in the order asked for: the first one decides the claim.

    Raises:
        ClaimError: no grain, one twice or unknown, or a number of explanations below 0.
    """
    given = [grains] if isinstance(grains, str) else list(grains)
    if not given or len(set(given)) < len(given) or not set(given) <= set(GRAINS):
        raise ClaimError(f"grains are some of {', '.join(map(repr, GRAINS))}, each once, not {given}")
    if isinstance(explained, bool) or not isinstance(explained, int) or explained < 0:
        raise ClaimError(f"explained is the number of test requests whose explanation is read, at least 0, not {explained!r}")
    return tuple(given)
