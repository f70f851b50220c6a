"""Reading many conditions on the test triples, a few at a time, each kept when it is finished."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm.auto import tqdm

from .. import store
from .._version import __version__
from ..ablation.ablate import Ablation
from ..experiments import measures
from ..experiments.battery import Outcomes, read_conditions
from ..experiments.collateral import utility
from ..experiments.judged import as_row, failed, from_row, harmful_rates
from ..experiments.names import name_of, name_of_examples
from ..statistics import Estimate
from ..store.frames import as_kept
from ..tasks.teacher_forced import INTACT
from .material import Material

log = logging.getLogger(__name__)
AT_ONCE = 6
"""Conditions of one call: they share batches, and no more than these are lost when a run is stopped."""
PARTS = ("outcomes", "items", "judged")
Rises = Float[np.ndarray, "triple role"]


@dataclass(frozen=True, eq=False)
class Read:
    """What conditions did, the intact model among them. Roles lie in the order harmful, near, far."""

    outcomes: Outcomes
    judged: Mapping[str, Mapping[str, Estimate]]
    material: Material

    def rises(self, name: str) -> Rises:
        """L ablated − L intact of each response, nats per token; positive: the ablation hurts."""
        return np.asarray(self._of(name, "nll") - self._of(INTACT, "nll"))

    def generation(self, name: str) -> dict[str, Estimate]:
        """`experiments.measures.generation`, with the judge's `harmful_rate`."""
        return measures.generation(*self._pair(name), self.material.bootstrap) | dict(self.judged.get(name, {}))

    def recognition(self, name: str) -> dict[str, Estimate]:
        """`experiments.measures.recognition`."""
        instruments = self.material.instruments
        how: dict[str, Any] = {"primary": instruments.primary}
        return measures.recognition(*self._pair(name), self.material.bootstrap, **how)

    def auroc(self, name: str) -> Estimate:
        """Of the primary reading: harmful requests against near twins."""
        key = {"in_place": "auroc_in_place", "probe": "probe_auroc"}[self.material.instruments.primary]
        return self.recognition(name)[key]

    def utility(self, name: str) -> dict[str, Estimate]:
        """`experiments.collateral.utility`: loss on plain text, facts."""
        return utility(self.outcomes, name, self.material.bootstrap)

    def _pair(self, name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        return self.outcomes.by_triple(INTACT), self.outcomes.by_triple(name)

    def _of(self, name: str, column: str) -> Rises:
        return self.outcomes.by_triple(name)[column]


def read(material: Material, conditions: Mapping[str, Ablation], *, progress: bool = False) -> Read:
    """Every condition, and the intact model, on the test triples: L, request information, recognition in place and by
    probes, free writing by the rules and the judge, refusal without prefill, plain text and facts.

    What the journal holds is not read again. The texts that conditions write are not kept.

    Args:
        conditions: by name; conditions that switch off the same are read once.

    Raises:
        StoreError: the journal cannot be written.
    """
    every: dict[str, Ablation] = {INTACT: None, **conditions}
    names = {name: name_of(condition) for name, condition in every.items()}
    distinct = {names[name]: condition for name, condition in every.items()}
    key = _key(material)
    found = {own: _kept(material, key, own) for own in distinct}
    missing = [own for own in distinct if found[own] is None and own != INTACT]
    if found[INTACT] is None and not missing:
        missing = [INTACT]
    log.info("%d conditions to read, %d are kept from before", len(missing), len(distinct) - len(missing))
    with tqdm(total=len(distinct), initial=len(distinct) - len(missing), desc="conditions", disable=not progress) as bar:
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            new = {own: distinct[own] for own in some if own != INTACT}
            found |= _read(material, key, new, intact=found[INTACT] is None)
            bar.update(len(some))
    return _joined(material, names, found)


Parts = dict[str, pd.DataFrame]


def _read(material: Material, key: object, some: Mapping[str, Ablation], *, intact: bool) -> dict[str, Parts | None]:
    """Of each condition, and of the intact model where that is not known yet, kept in the journal."""
    outcomes = read_conditions(material.model, material.asked, some, intact=intact)
    judged = harmful_rates(material.judge, outcomes.responses, material.test)
    found: dict[str, Parts | None] = {}
    for own in [INTACT, *some] if intact else some:
        rates = [{"measure": name, **as_row(value)} for name, value in judged.get(own, {}).items()]
        parts = {
            "outcomes": outcomes.frame[outcomes.frame["condition"] == own],
            "items": outcomes.items[outcomes.items["condition"] == own],
            "judged": pd.DataFrame(rates, columns=["measure", *(field.name for field in fields(Estimate))]),
        }
        found[own] = {what: as_kept(frame) for what, frame in parts.items()}
        for what, frame in parts.items():
            if what != "judged" or not _failed(judged.get(own, {})):
                material.journal.keep(what, [key, own], frame)
    return found


def _failed(rates: Mapping[str, Estimate]) -> bool:
    """Whether the judge failed: the condition is then read anew by the next run."""
    return any(map(failed, rates.values()))


def _kept(material: Material, key: object, own: str) -> Parts | None:
    parts = {what: material.journal.kept(what, [key, own]) for what in PARTS}
    whole = {what: frame for what, frame in parts.items() if frame is not None}
    return whole if len(whole) == len(PARTS) else None


def _joined(material: Material, names: Mapping[str, str], found: Mapping[str, Parts | None]) -> Read:
    frames: dict[str, list[pd.DataFrame]] = {what: [] for what in PARTS[:2]}
    judged = {}
    for name, own in names.items():
        parts = found[own]
        assert parts is not None, "every condition was read"
        for what in frames:
            frames[what].append(parts[what].assign(condition=name))
        judged[name] = {row["measure"]: from_row(row) for row in parts["judged"].to_dict("records")}
    outcomes, items = (pd.concat(frames[what], ignore_index=True) for what in PARTS[:2])
    return Read(Outcomes(outcomes.fillna({"category": "", "harm_group": ""}), pd.DataFrame(), items), judged, material)


def _key(material: Material) -> list[object]:
    """All that a reading depends on, but for the condition."""
    settings = material.settings
    sizes = [settings.seed, settings.max_new_tokens, settings.written_triples, settings.facts, settings.passages]
    judge = None if material.judge is None else [material.judge.name, material.judge.measures]
    learnt = [store.digest([vars(prompt) for prompt in material.train]), settings.probe_triples]  # what probes are fitted on
    how = [material.instruments.settings(), name_of_examples(material.training), learnt, __version__]
    return [material.key, name_of_examples(material.examples), sizes, how, judge]
