"""What a comparison of readings found: estimates, the scores they come from, and how they were taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pandas as pd

from .. import figures, store
from ..notebook import clipped, notebook_html
from ..report.claims import claim_page
from ..report.drawable import drawable
from ..statistics import Estimate, StatisticsError
from ..store.sheets import as_csv, as_read, read_csv
from ..tasks.told_apart import Benign
from .reading_page import METHOD, NAME, document

if TYPE_CHECKING:
    import plotly.graph_objects as go

Kind = Literal["many-shot", "in place", "probe"]
Control = Literal["", "shuffled labels", "arbitrary words"]
READINGS, OUTCOMES = f"{NAME}.json", "outcomes.csv"
WORDS = ("reading", "control", "kind", "role", "group", "category")
TABLE = ["reading", "kind", "control", "shots", "against", "auroc", "low", "high", "n", "far", "far_low", "far_high"]
COLUMNS = [*WORDS[:3], "prompt", *WORDS[3:], "score"]


class ReadingsError(ValueError):
    """Prompts on which readings cannot be compared; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One reading of recognition.

    Attributes:
        name: the format, question or probe; a control has the name of what it controls.
        control: what was changed in the shots; "" for the reading itself.
        n_shots: of many-shot readings.
        auroc: harmful prompts against `Readings.against`, 0 to 1, ½ is chance.
        auroc_far: against far twins, where `auroc` is not.
    """

    name: str
    kind: Kind
    control: Control = ""
    n_shots: int | None = None
    auroc: Estimate
    auroc_far: Estimate

    def __repr__(self) -> str:
        control = f", {self.control}" if self.control else ""
        return f"Reading({clipped(self.name, 36)!r}, {self.kind}{control}: AUROC {self.auroc})"


@dataclass(frozen=True, eq=False, kw_only=True)
class Readings:
    """Readings of one model's recognition on the same prompts; made by `compare_readings`.

    Attributes:
        readings: the best first; missing ones last.
        outcomes: one row a reading and test prompt: reading, control, kind, prompt (its place in the test part), role, group,
            category, score (positive: "harmful"; log-odds in nats, or a probe's score).
        against: the role of the prompts that harmful ones are held against.
        settings: sizes and origins, as plain values.
        remarks: what was left out and why, and what a reader should know of the prompts.
    """

    NAME: ClassVar[str] = NAME
    """Of its files."""

    readings: tuple[Reading, ...]
    outcomes: pd.DataFrame
    against: Benign
    settings: Mapping[str, Any]
    remarks: tuple[str, ...] = ()

    def best(self, kind: Kind | None = None) -> Reading:
        """The reading (no control) with the highest AUROC, of one kind or of all.

        Raises:
            ReadingsError: none was measured.
        """
        found = [one for one in self.readings if not one.control and kind in (None, one.kind) and not one.auroc.is_missing]
        if not found:
            raise ReadingsError(f"no reading{f' of kind {kind!r}' if kind else ''} was measured: {'; '.join(self.remarks)}")
        return found[0]

    def table(self) -> pd.DataFrame:
        """One row a reading, the best first: reading, kind, control, shots, against, auroc, low, high, n (triples, or prompts
        in sets without), far, far_low, far_high (AUROC against far twins)."""
        rows = [
            {
                "reading": one.name, "kind": one.kind, "control": one.control, "shots": one.n_shots, "against": self.against,
                "auroc": one.auroc.value, "low": one.auroc.low, "high": one.auroc.high, "n": one.auroc.n,
                "far": one.auroc_far.value, "far_low": one.auroc_far.low, "far_high": one.auroc_far.high,
            }
            for one in self.readings
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=TABLE).astype({"shots": "Int64"})

    def figure(self) -> "go.Figure":
        """Every reading as a row with its controls beside it, the best above."""
        names = dict.fromkeys(one.name for one in sorted(self.readings, key=lambda one: bool(one.control)))
        rows = [row for name in names for one in self.readings if one.name == name for row in self._marks(one)]
        return figures.readings_forest(pd.DataFrame(rows, columns=["reading", "kind", "series", "value", "low", "high"]))

    def _marks(self, one: Reading) -> list[tuple[str, str, str, float | None, float | None, float | None]]:
        """One line a mark of the figure; what kind it is and how many shots must be legible where a name is cut short."""
        found = {one.control or self.against: one.auroc}
        if not one.control and self.against == "near":
            found["far"] = one.auroc_far
        name, kind = one.name.removeprefix("probe "), one.kind + (f", {one.n_shots} shots" if one.n_shots else "")
        return [(name, kind, series, own.value, own.low, own.high) for series, own in found.items()]

    def drawn(self) -> "dict[str, go.Figure]":
        """`figure` by name; none, with a warning, where it cannot be drawn."""
        return drawable(NAME, lambda: {"auroc": self.figure()})

    def page(self, *, figures: "Mapping[str, go.Figure] | None" = None) -> str:
        """Answer, figure, numbers, limits, method, settings and command as one HTML page that fetches nothing, laid out as a
        claim's; no text that a model read or wrote is on it. `figures`: those of `drawn`, where somebody has them already."""
        drawn = self.drawn() if figures is None else figures
        return claim_page(document(self), method=METHOD, figures=drawn, table=self.table())

    def save(self, folder: str | PathLike[str], *, figures: "Mapping[str, go.Figure] | None" = None) -> Path:
        """Writes `readings.json` (estimates as `{value, low, high, n}`, or `{value: null, reason}`, with the command that makes
        it again), `outcomes.csv` and `readings.html` (`page`), in none of which a request or a response stands.

        Args:
            figures: as of `page`.

        Raises:
            StoreError: the folder cannot be written, or another process is at work there.
        """
        target = Path(folder)
        listed = [
            {
                "name": one.name, "kind": one.kind, "control": one.control, "n_shots": one.n_shots,
                "auroc": one.auroc.to_json(), "auroc_far": one.auroc_far.to_json(),
            }
            for one in self.readings
        ]  # fmt: skip
        written = {
            "command": self.settings.get("reproduce", ""), "settings": dict(self.settings), "against": self.against,
            "remarks": list(self.remarks), "readings": listed,
        }  # fmt: skip
        with store.held(target):
            store.write_text(target / OUTCOMES, as_csv(self.outcomes))
            store.write_json(target / READINGS, written)
            store.write_text(target / f"{NAME}.html", self.page(figures=figures))
        return target

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> "Readings":
        """What `save` wrote. Raises StoreError where a file is missing, or is not what it should be."""
        source = Path(folder)
        document = store.read_json(source / READINGS)
        try:
            readings = tuple(_reading(entry) for entry in document["readings"])
            return cls(
                readings=readings,
                outcomes=_outcomes(source / OUTCOMES),
                against=document["against"],
                settings=document["settings"],
                remarks=tuple(document["remarks"]),
            )
        except (KeyError, TypeError, StatisticsError) as error:
            raise store.StoreError(
                f"{source / READINGS} does not hold compared readings ({error!r}): save them again, or check the folder."
            ) from error

    def __repr__(self) -> str:
        own = [one for one in self.readings if not one.control]
        best = next((f"; best: {clipped(one.name, 24)}, {one.auroc}" for one in own if not one.auroc.is_missing), "")
        return f"Readings({len(own)} readings of {clipped(self.settings.get('prompts'), 20)!r}{best})"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), self.table(), figure=self.figure, remarks=self.remarks)


def sorted_readings(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """The highest AUROC first; equal ones in their order, missing ones last."""
    return tuple(sorted(readings, key=lambda one: float("inf") if one.auroc.value is None else -one.auroc.value))


def _reading(entry: Mapping[str, Any]) -> Reading:
    return Reading(
        name=entry["name"],
        kind=entry["kind"],
        control=entry["control"],
        n_shots=entry["n_shots"],
        auroc=Estimate.from_json(entry["auroc"]),
        auroc_far=Estimate.from_json(entry["auroc_far"]),
    )


def _outcomes(path: Path) -> pd.DataFrame:
    """Names and groups as text, whatever they look like."""
    text: dict[str, Any] = {"dtype": dict.fromkeys(WORDS, str), "keep_default_na": False, "na_values": {"score": [""]}}
    frame = read_csv(path, cure="Compare the readings again.", **text)
    if list(frame.columns) != COLUMNS:
        raise store.StoreError(
            f"{path} has the columns {', '.join(map(str, frame.columns))}, not {', '.join(COLUMNS)}: it was changed."
        )
    return as_read(frame)
