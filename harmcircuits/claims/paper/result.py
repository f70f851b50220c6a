"""`Paper`: what all claims came to on one model."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ... import store
from ...figures.style import FigureError
from ...notebook import clipped, notebook_html
from ...report.claims import claims_page
from ...statistics import Estimate
from ..earlier import Claim, Found

log = logging.getLogger(__name__)
FORMAT = "harmcircuits paper 1"
NUMBERS, PAGE = "paper.json", "paper.html"
UNMEASURED: Found = "cannot be measured"


@dataclass(frozen=True, eq=False, kw_only=True)
class Paper:
    """What all claims came to on one model.

    Attributes:
        asks: what each claim asks, by name, in the order of the page.
        claims: those that were measured.
        failed: why the others could not be.
        headlines: of each claim that was measured, the value that stands for it; "" where none could be measured.
        about: the model (`describe_model`).
        settings: that all claims share.
        n_triples: test triples.
        command: what can be typed to get the same again.
    """

    asks: Mapping[str, str]
    claims: Mapping[str, Claim]
    failed: Mapping[str, str]
    headlines: Mapping[str, str]
    about: Mapping[str, Any]
    settings: Mapping[str, Any]
    n_triples: int
    command: str = ""

    def table(self) -> pd.DataFrame:
        """One row a claim: `claim`, `asks`, `found`, `evidence` (its headline value with the 95 % interval), `sentence`."""
        return pd.DataFrame([self._row(name) for name in self.asks])

    def document(self) -> dict[str, Any]:
        """What `paper.json` holds; each claim's numbers lie in its own file."""
        return {
            "format": FORMAT,
            "command": self.command,
            "n": self.n_triples,
            "model": dict(self.about),
            "claims": [self._row(name) | self._where(name) for name in self.asks],
            "settings": dict(self.settings),
        }

    def page(self) -> str:
        """Claims, evidence and verdicts as one HTML page (`report.claims_page`)."""
        figures: dict[str, dict[str, Any]] = {}
        for name, claim in self.claims.items():
            try:
                figures[name] = claim.figures()
            except FigureError as error:  # a page without one figure says more than no page
                log.warning("the figures of %s are not on the page: %s", name, error)
        tables = {name: claim.table() for name, claim in self.claims.items()}
        documents = {name: claim.document() for name, claim in self.claims.items()}
        return claims_page(self.document(), claims=documents, figures=figures, tables=tables)

    def save(self, folder: str | Path) -> Path:
        """Writes each claim's `NAME.json`, then `paper.json` and `paper.html`, each atomically, and says where the page is.

        What an earlier run left of a claim that could not be measured now goes.

        Raises:
            StoreError: the folder cannot be written, or another process is at work there.
        """
        target = Path(folder)
        with store.held(target):
            for claim in self.claims.values():
                claim.save(target, page=False)  # all of them are on this page
            for path in (target / f"{name}{end}" for name in self.failed for end in (".json", ".html")):
                with store.storage_errors(path):
                    path.unlink(missing_ok=True)
            store.write_json(target / NUMBERS, self.document())
            store.write_text(target / PAGE, self.page())
        return target / PAGE

    def _row(self, name: str) -> dict[str, str]:
        claim = self.claims.get(name)
        found, sentence = (claim.found, claim.sentence) if claim is not None else (UNMEASURED, self.failed[name])
        shown = self.headlines.get(name)
        evidence = f"{shown}: {claim.values[shown]}" if claim is not None and shown else ""
        return {"claim": name, "asks": self.asks[name], "found": found, "evidence": evidence, "sentence": sentence}

    def _where(self, name: str) -> dict[str, Any]:
        """The value that stands for a claim, as numbers, and the file of all its others."""
        if name not in self.claims:
            return {"headline": None, "value": None, "file": None}
        shown = self.headlines.get(name)
        value = self.claims[name].values[shown].to_json() if shown else None
        return {"headline": shown or None, "value": value, "file": f"{name}.json"}

    def __repr__(self) -> str:
        found = Counter(row["found"] for row in map(self._row, self.asks))
        counts = ", ".join(f"{count} {answer}" for answer, count in found.items())
        return f"Paper({len(self.asks)} claims: {counts}; {clipped(self.about.get('name', 'a model'), 24)})"

    def _repr_html_(self) -> str:
        return notebook_html(repr(self), self.table())


def headline(values: Mapping[str, Estimate], starts: Sequence[str]) -> str:
    """The name of the smallest measured value of those whose names begin so, by the first of `starts` that there is one of;
    else of the first measured value; "" without any.

    >>> values = {"rise": Estimate(0.5, n=16), "ratio_a": Estimate(0.9, n=16), "ratio_b": Estimate(0.7, n=16)}
    >>> headline(values, ["area", "ratio_"]), headline(values, ["area"]), headline({}, [])
    ('ratio_b', 'rise', '')
    """
    known = {name: value.value for name, value in values.items() if value.value is not None}
    for start in starts:
        if own := [name for name in known if name.startswith(start)]:
            return min(own, key=known.__getitem__)
    return next(iter(known), "")
