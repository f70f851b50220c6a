"""`Claim`: what one claim of the paper came to on one model, as numbers, tables and a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias, get_args

import pandas as pd

from .. import store
from ..notebook import clipped, notebook_html
from ..report.claims import ON_TRIPLES, claim_page
from ..report.drawable import drawable
from ..statistics import Estimate
from ..store.frames import as_frame, as_plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

Found: TypeAlias = Literal["yes", "no", "undecided", "cannot be measured"]
FOUND: tuple[Found, ...] = get_args(Found)
FORMAT = "harmcircuits claim 1"


class ClaimError(ValueError):
    """A claim that could not mean anything on this model or these prompts; the message says why, and what to change."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Claim:
    """What one claim came to on one model. Each claim is a class of its own, with its figures.

    Attributes:
        found: "yes" (the claim holds here), "no" (the opposite is shown), "undecided", "cannot be measured".
        sentence: what was found, in plain words with the numbers.
        values: headline numbers by name, each with its interval, unit and sign as the class says.
        tables: everything behind them, the first one being what `table()` shows.
        model: which one: name, sha256 and the rest that `experiments.manifest.describe_model` tells.
        settings: sizes and origins, as plain values.
        command: what can be typed to get the same again.
        limits: what a reader should know before quoting it.
    """

    NAME: ClassVar[str] = ""
    """Of the file and the shell command."""
    ASKS: ClassVar[str] = ""
    """What the paper claims, as a question."""
    METHOD: ClassVar[tuple[str, ...]] = (ON_TRIPLES,)
    """How it is measured and decided, in paragraphs of its page."""

    found: Found
    sentence: str
    values: Mapping[str, Estimate]
    tables: Mapping[str, pd.DataFrame]
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    command: str = ""
    limits: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.found not in FOUND:
            raise ClaimError(f"a claim is found {', '.join(map(repr, FOUND))}, not {self.found!r}")
        if not self.tables:
            raise ClaimError(f"{self.NAME or type(self).__name__} has no table: there is nothing behind its sentence")

    @property
    def n(self) -> int:
        """The largest number of units (triples, unless a value says otherwise) behind a headline number. Draws behind a p
        value, whose name ends in `_p`, are none."""
        return max((value.n for name, value in self.values.items() if not name.endswith("_p")), default=0)

    def table(self) -> pd.DataFrame:
        """The first of `tables`."""
        return next(iter(self.tables.values())).copy()

    def figures(self) -> "dict[str, go.Figure]":
        """By name, in the order of a page."""
        return {}

    def figure(self) -> "go.Figure":
        """The first of `figures`.

        Raises:
            ClaimError: this claim has none.
        """
        drawn = self._first_figure()
        if drawn is None:
            raise ClaimError(f"{self.NAME} has no figure: use table()")
        return drawn

    def _first_figure(self) -> "go.Figure | None":
        """Of `figures`; a claim that has many draws this one alone."""
        return next(iter(self.figures().values()), None)

    def document(self) -> dict[str, Any]:
        """What the JSON file holds; a value is `{value, low, high, n}` or `{value: null, reason}`."""
        return {
            "format": FORMAT,
            "claim": self.NAME,
            "asks": self.ASKS,
            "command": self.command,
            "model": dict(self.model),
            "n": self.n,
            "found": self.found,
            "sentence": self.sentence,
            "values": {name: value.to_json() for name, value in self.values.items()},
            "limits": list(self.limits),
            "settings": dict(self.settings),
            "tables": {name: as_plain(frame) for name, frame in self.tables.items()},
        }

    def drawn(self) -> "dict[str, go.Figure]":
        """`figures`; none, with a warning, where one cannot be drawn."""
        return drawable(self.NAME, self.figures)

    def page(self, *, figures: "Mapping[str, go.Figure] | None" = None) -> str:
        """Question, answer, figures, table, limits, method, settings and command as one HTML page that fetches nothing
        (`report.claims.claim_page`); no text that a model read or wrote is on it. `figures`: those of `drawn`, where somebody
        has them already."""
        shown = self.drawn() if figures is None else figures
        return claim_page(self.document(), method=self.METHOD, figures=shown, table=self.table())

    def save(self, folder: str | Path, *, page: bool = True, figures: "Mapping[str, go.Figure] | None" = None) -> Path:
        """Writes `NAME.json` and, beside it, `NAME.html` into `folder`, each atomically, and says where the first is.

        Args:
            page: False: numbers alone; a page that lies there goes, since it tells of others.
            figures: as of `page`.

        Raises:
            StoreError: the folder cannot be written, or another process is at work there.
        """
        path, beside = (Path(folder) / f"{self.NAME}{end}" for end in (".json", ".html"))
        with store.held(folder):
            store.write_json(path, self.document())
            if page:
                store.write_text(beside, self.page(figures=figures))
            else:
                with store.storage_errors(beside):
                    beside.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what `save` wrote; `path` is the file, or its folder.

        Raises:
            StoreError: the file is missing, damaged, or holds another claim.
        """
        source = Path(path) / f"{cls.NAME}.json" if Path(path).is_dir() else Path(path)
        value = store.read_json(source)
        if not isinstance(value, dict) or (value.get("format"), value.get("claim")) != (FORMAT, cls.NAME):
            raise store.StoreError(f"{source} does not hold what {cls.NAME} found ('format' {FORMAT!r}, 'claim' {cls.NAME!r})")
        try:
            _check_kinds(value)
            return cls(
                values={name: Estimate.from_json(own) for name, own in value["values"].items()},
                tables={name: as_frame(own) for name, own in value["tables"].items()},
                limits=tuple(value["limits"]),
                **{name: value[name] for name in ("found", "sentence", "model", "settings", "command")},
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise store.StoreError(
                f"{source} was changed since it was written ({store.one_line(repr(error))}). Run the measurement again."
            ) from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.found}; n={self.n}; {clipped(self.model.get('name', 'a model'), 40)})"

    def _repr_html_(self) -> str:
        return notebook_html(f"{self.found}: {self.sentence}", self.table(), figure=self._first_figure)


def _check_kinds(value: Mapping[str, Any]) -> None:
    """Raises KeyError or TypeError for what `document` does not write."""
    kinds = {"sentence": str, "command": str, "model": dict, "settings": dict, "limits": list}
    if wrong := [name for name, kind in kinds.items() if not isinstance(value[name], kind)]:
        raise TypeError(f"{wrong[0]} is a {type(value[wrong[0]]).__name__}")
