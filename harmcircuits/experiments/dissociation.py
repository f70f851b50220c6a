"""The main job: do writing harm and recognising harm come apart in this model?

prompts → responses → instruments (development) → scores (training) → circuits and controls → readings (test) → verdict.
"""

import html
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from .. import figures, report, store
from ..components import Circuit
from ..models.protocol import HookedModel
from ..prompts.promptset import PromptSet
from ..prompts.splits import near_duplicate_groups
from ..selection.matched import matched_random
from ..selection.protected import SelectionError
from ..tasks.teacher_forced import INTACT
from . import battery, evidence
from .document import describe
from .instruments import Instruments, choose_instruments
from .nulls import Nulls, measure_nulls
from .scores import Scores, chosen_triples, default_circuits, recipe, respond, score
from .settings import Settings
from .verdict import Verdict, judge

log = logging.getLogger(__name__)

TWINS, RECOGNITION, RANDOM = "aimed at twins", "aimed at recognition", "matched random"


class ExperimentError(ValueError):
    """A run that could not mean anything; the message says why, before anything is computed."""


@dataclass(frozen=True, eq=False)
class Dissociation:
    """Everything that a run found. `report` is what `report.json` holds."""

    report: dict[str, Any]
    outcomes: pd.DataFrame
    responses: pd.DataFrame
    circuits: dict[str, Circuit]
    scores: Scores | None
    nulls: Nulls | None

    @property
    def verdict(self) -> str:
        """One of "dissociated", "shared", "insensitive", "undecided", "cannot be measured"."""
        return str(self.report["verdict"])

    def table(self) -> pd.DataFrame:
        """One row a condition: the short table, values with 95 % intervals as text."""
        return report.summary_frame(self.report)

    def figure(self) -> go.Figure:
        """Retained generation against retained recognition, with controls."""
        return figures.retained(report.retained_frame(self.report))

    def figures(self) -> dict[str, go.Figure]:
        """All figures of the report page, by name."""
        drawn = {"rises": figures.rises(report.rises_frame(self.report)), "retained": self.figure()}
        main = next(iter(self.circuits.values()))
        if self.scores is not None:
            drawn["heads"] = figures.heads_heatmap(self.scores.harmful.heads.numpy(), selected=tuple(main.heads))
            drawn["neurons"] = figures.neurons_by_layer(self.scores.harmful.neurons.numpy(), selected=tuple(main.neurons))
        if self.nulls is not None and any(len(rises) for rises in self.nulls.rises.values()):
            null = [(kind, value) for kind in self.nulls.rises for value in self.nulls.selectivity(kind)]
            frame = pd.DataFrame(null, columns=["null", "value"])
            drawn["nulls"] = figures.scatter_null(self.nulls.observed_selectivity, frame)
        return drawn

    def save(self, folder: str | Path, *, show_responses: bool = False) -> None:
        """Writes report.json, outcomes.csv, report.html, circuits and scores into `folder`; each file atomically.

        Response text is in none of them unless `show_responses`.

        Raises:
            StoreError: the folder cannot be written.
        """
        target = Path(folder)
        store.write_json(target / "report.json", self.report)
        store.write_text(target / "outcomes.csv", self.outcomes.to_csv(index=False))
        for name, circuit in self.circuits.items():
            circuit.save(target / "circuits" / f"{_file_name(name)}.json")
        if self.scores is not None:
            self.scores.harmful.save(target / "scores" / "harmful.safetensors")
            self.scores.benign.save(target / "scores" / "benign.safetensors")
        page = report.page(
            self.report, figures=self.figures(), tables={}, responses=self.responses, show_responses=show_responses
        )
        store.write_text(target / "report.html", page)

    def __repr__(self) -> str:
        return (
            f"Dissociation({self.verdict!r}, {len(self.report['conditions'])} conditions, {self.report['n_triples']} triples)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.report['verdict_sentence'])}</p>{self.table().to_html(index=False, escape=True)}"


def dissociate(
    model: HookedModel,
    circuit: Circuit | Mapping[str, Circuit] | None,
    test: PromptSet,
    *,
    train: PromptSet | None = None,
    development: PromptSet | None = None,
    settings: Settings | None = None,
    name: str = "",
    reproduce: str = "",
    progress: bool = False,
) -> Dissociation:
    """Measures writing and recognising of harm with and without `circuit`, against controls; see DESIGN §2 for every measure.

    Args:
        circuit: what to switch off; a mapping of several by name, the verdict being about the first; or None to select heads
            and neurons, heads alone and neurons alone from the training triples.
        test: triples that nothing else has touched.
        train: triples for shots, probe, aimed controls and nulls. None: those fields are null with the reason.
        development: triples on which formats are chosen. None: the first of each kind is taken.
        settings: sizes; `Settings()` by default.
        name: the model's name in the report.
        reproduce: the command to print in the report.

    Raises:
        ExperimentError: no triples, a test triple or a near-duplicate of one in training or development, no circuit and
            nothing to select one from, or a circuit with a name that means something else here ("intact").
        PromptError: a single category.
        CircuitError: a component that the model does not have. All of these come before anything is computed.
        ElicitError, SelectionError, ModelError: as their rooms say.
    """
    chosen = settings or Settings()
    given = _given(model, circuit)
    _check(given, test, train, development)
    test = chosen_triples(test, chosen.test_triples, seed=chosen.seed)
    before_run = evidence.sensitivity(len(test.triples), chosen)
    log.info(before_run)
    examples = respond(model, test, chosen, progress=progress)
    instruments = _instruments(model, train, development, chosen, progress)
    scores = _scores(model, train, instruments, chosen, progress)
    circuits = given or _selected(model, scores, chosen)
    main = next(iter(circuits))
    controls, missing = _controls(circuits[main], scores, chosen)
    conditions = {found: ("circuit", own) for found, own in circuits.items()} | controls
    outcomes = battery.read_conditions(
        model, test, examples, {found: own for found, (_, own) in conditions.items()}, instruments, chosen, progress=progress
    )
    nulls = measure_nulls(model, circuits[main], scores, examples, chosen, progress=progress) if scores else None
    found = _judged(outcomes, main, nulls, instruments, chosen, missing)
    document = describe(
        model, conditions, outcomes, nulls, instruments, found, chosen, test=test, train=train, name=name, reproduce=reproduce
    )
    document["sensitivity_before_run"] = before_run
    document["limits"] += [f"There is no circuit {aim}: {why}" for aim, why in missing.items()]
    return Dissociation(document, outcomes.frame, outcomes.responses, circuits, scores, nulls)


def ready(prompts: PromptSet) -> PromptSet:
    """`prompts`, once it is sure that the main job can be run on them.

    Raises:
        ExperimentError: no complete triples.
        PromptError: a single category.
    """
    if not prompts.triples:
        raise ExperimentError(
            f"{prompts.name!r} has no complete triples (harmful request, near twin, far twin of one group): without twins "
            "under the same prefill, less harmful writing could simply be less writing. Use hc.load_prompts(), or a file "
            "with the columns request, prefill, category, group and role."
        )
    prompts.require_categories(2)
    return prompts


def _given(model: HookedModel, circuit: Circuit | Mapping[str, Circuit] | None) -> dict[str, Circuit]:
    """The circuits by name, made sure to fit the model; none where they are still to be selected."""
    if circuit is None:
        return {}
    circuits = dict(circuit) if isinstance(circuit, Mapping) else {"circuit": circuit}
    taken = sorted({INTACT, TWINS, RECOGNITION, RANDOM} & set(circuits))
    if taken or not circuits:
        problem = f"the name {taken[0]!r} means something else in a report: choose another" if taken else "no circuit was given"
        raise ExperimentError(f"{problem}. Give a Circuit, circuits by name, or None to select them from the training triples.")
    for own in circuits.values():
        own.check(model)
    return circuits


def _check(given: Mapping[str, Circuit], test: PromptSet, train: PromptSet | None, development: PromptSet | None) -> None:
    ready(test)
    if not given and (train is None or not train.triples):
        raise ExperimentError("no circuit was given, and no training triples to select one from: give either")
    for what, other in (("training", train), ("development", development)):
        if other is not None:
            _check_held_out(test, other, what)


def _check_held_out(test: PromptSet, other: PromptSet, what: str) -> None:
    shared = {prompt.group for prompt in test if prompt.group} & {prompt.group for prompt in other if prompt.group}
    both, n = (*test, *other), len(test)
    mixed = [unit for unit in near_duplicate_groups(both) if min(unit) < n <= max(unit)]
    if shared or mixed:
        raise ExperimentError(
            f"{len(shared)} test triples are also in the {what} split, and {len(mixed)} groups of near-duplicates lie in both: "
            "held out means held out. Split with prompts.split(), which keeps them together."
        )


def _instruments(
    model: HookedModel, train: PromptSet | None, development: PromptSet | None, settings: Settings, progress: bool
) -> Instruments:
    examples = []
    if development is not None and development.triples:
        few = chosen_triples(development, settings.development_triples, seed=settings.seed)
        examples = respond(model, few, settings, progress=progress)
    return choose_instruments(model, train, development, examples, settings, progress=progress)


def _scores(
    model: HookedModel, train: PromptSet | None, instruments: Instruments, settings: Settings, progress: bool
) -> Scores | None:
    if train is None or not train.triples:
        return None
    few = chosen_triples(train, settings.attribution_triples, seed=settings.seed)
    return score(model, respond(model, few, settings, progress=progress), settings, aim=instruments.aim, progress=progress)


def _selected(model: HookedModel, scores: Scores | None, settings: Settings) -> dict[str, Circuit]:
    if scores is None:
        raise ExperimentError("no circuit was given, and no training triples to select one from: give either")
    return default_circuits(model, scores, settings)


def _controls(
    circuit: Circuit, scores: Scores | None, settings: Settings
) -> tuple[dict[str, tuple[str, Circuit]], dict[str, str]]:
    """The same recipe and size aimed elsewhere, and one matched random circuit with the whole battery; and what could not be
    built, with the reason."""
    if scores is None or scores.recognition is None:
        return {}, dict.fromkeys((TWINS, RECOGNITION), "no training split was given")
    aims = {TWINS: (scores.near, scores.harmful + scores.far), RECOGNITION: (scores.recognition, scores.benign)}
    sized = {"heads": len(circuit.heads), "neurons": len(circuit.neurons)}
    built, missing = {}, {}
    for name, (target, protect) in aims.items():
        try:
            built[name] = (name.replace(" ", "-"), recipe(target, protect, settings, **sized))
        except SelectionError as error:
            log.warning("no circuit of the same size %s: %s", name, error)
            missing[name] = str(error)
    random = matched_random(circuit, scores.harmful, protect=scores.benign, seed=settings.seed)
    return built | {RANDOM: ("matched-random", random)}, missing


def _judged(
    outcomes: battery.Outcomes,
    main: str,
    nulls: Nulls | None,
    instruments: Instruments,
    settings: Settings,
    missing: Mapping[str, str],
) -> Verdict:
    intact, changed = outcomes.by_triple(INTACT), outcomes.by_triple(main)
    aimed = None if RECOGNITION in missing else outcomes.by_triple(RECOGNITION)
    no_aimed = missing.get(RECOGNITION, "")
    found = evidence.gather(intact, changed, aimed, nulls, primary=instruments.primary, settings=settings, no_aimed=no_aimed)
    return judge(found, name=main)


def _file_name(name: str) -> str:
    """A name from the user as part of a path: no separators, no dots."""
    return re.sub(r"[^\w-]+", "-", name)
