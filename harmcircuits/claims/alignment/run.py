"""Every stage measured, one model at a time."""

import gc
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from ...data import PromptSet
from ...experiments.settings import ClaimSettings
from ..material import Material, prepare
from .curve.plan import Options
from .ladders import Load, Stage
from .stage import Measured, measure
from .writing import READINGS, Reading, Written, read_by, unreadable, written

log = logging.getLogger(__name__)

Found: TypeAlias = dict[tuple[str, Reading], Measured | str]
"""By stage and set of responses: what was measured, or why it could not be."""


def measured(
    every: Sequence[Stage],
    writer: Stage,
    prompts: PromptSet | None,
    *,
    settings: ClaimSettings,
    options: Options,
    load: Load,
    folder: Path,
    progress: bool,
) -> Found:
    """The writer first, since the others read what it wrote, then the others in order; each model is gone before the next is
    loaded, unless it was held from the start.

    Args:
        every: stages of all ladders.
        writer: whose responses all stages are read on.
        prompts: as of `prepare`, as are settings and folder.
        settings: see there.
        options: of the sweep.
        load: what a name is loaded with.
        folder: see there; it holds the journal of all stages.
        progress: shows bars.
    """
    found: Found = {}
    source: Written | None = None
    for stage in (writer, *(one for one in every if one is not writer)):
        log.info("measuring %s", stage.name)
        how = {"settings": settings, "folder": folder, "name": stage.name, "progress": progress}
        material = prepare(stage.held(load), prompts, **how)  # type: ignore[arg-type]
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
