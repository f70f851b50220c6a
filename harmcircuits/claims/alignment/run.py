"""Every stage measured, one model at a time."""

import gc
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ...experiments.settings import Settings
from ...judges import Judge
from ...models.protocol import geometry
from ...prompts.promptset import PromptSet
from ...selection.protected import SelectionError
from ..compactness.plan import Options
from ..material import Material, prepare
from ..paper.costs import Cost
from ..paper.counted import Count, CountedJournal
from ..paper.forecast import Forecast, Pace, pace
from .ladders import LADDER, Load, Stage
from .stage import Measured, conditions, measure
from .writing import READINGS, Reading, Written, read_by, unreadable, written

log = logging.getLogger(__name__)

Found: TypeAlias = dict[tuple[str, Reading], Measured | str]
"""By stage and set of responses: what was measured, or why it could not be."""


def measured(
    every: Sequence[Stage],
    writer: Stage,
    prompts: PromptSet | None,
    *,
    settings: Settings,
    options: Options,
    judge: Judge | None,
    load: Load,
    folder: Path,
    progress: bool,
    tell: Callable[[str], None],
) -> Found:
    """The writer first, since the others read what it wrote, then the others in order; each model is gone before the next is
    loaded, unless it was held from the start.

    Args:
        every: stages of all ladders.
        writer: whose responses all stages are read on.
        prompts: as of `prepare`, as are settings, judge and folder.
        settings: see there.
        options: of the sweep.
        judge: see there.
        load: what a name is loaded with.
        folder: see there; it holds the journal of all stages.
        progress: shows bars.
        tell: is given the cost, once the writer's first condition is timed.
    """
    found: Found = {}
    source: Written | None = None
    for stage in (writer, *(one for one in every if one is not writer)):
        log.info("measuring %s", stage.name)
        how = {"settings": settings, "judge": judge, "folder": folder, "name": stage.name, "progress": progress}
        material = prepare(stage.held(load), prompts, **how)  # type: ignore[arg-type]
        if source is None:
            tell(str(_forecast(material, every, options)))
        own = measure(material, options, progress=progress)
        found[stage.name, "own"] = own
        found[stage.name, "fixed"] = own if source is None else _on(source, material, options, progress=progress)
        source = source or written(material, stage.name)
        del material
        gc.collect()  # a hooked model refers to itself: without this, two of them would be in memory
    return {(stage.name, reading): found[stage.name, reading] for stage in every for reading in READINGS}


def _on(source: Written, material: Material, options: Options, *, progress: bool) -> Measured | str:
    why = unreadable(material.model, source)
    return why or measure(read_by(material, source, progress=progress), options, progress=progress)


def _forecast(material: Material, every: Sequence[Stage], options: Options) -> Forecast:
    """Of each ladder; the writer is read on one set of responses, all others on two."""
    each = conditions(options, geometry(material.model), material.settings)
    stages = {ladder: sum(one.ladder == ladder for one in every) for ladder in dict.fromkeys(one.ladder for one in every)}
    costs = {ladder: Cost(each * (2 * n - (ladder == LADDER))) for ladder, n in stages.items()}
    return Forecast(costs, _pace(material))


def _pace(material: Material) -> Pace | None:
    """None where there is no circuit of the default size to time."""
    count = Count()
    try:
        return pace(replace(material, journal=CountedJournal(material.journal.folder, count)), count)
    except SelectionError as error:
        log.warning("how long a condition takes is not known: %s", error)
        return None
