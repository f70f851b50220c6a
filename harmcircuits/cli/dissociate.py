"""The main job from a shell."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import shared
from .report import print_result
from .shared import DEFAULT_MODEL, Device, Dtype, Judged, Model, Prompts, Seed, told_errors, writable


def dissociate(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder for report.json, report.html, effects.csv and the circuits.")] = Path(
        "out/dissociate"
    ),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer prompts: minutes on two cores, wide intervals.")] = False,
    components: Annotated[str | None, typer.Option(help="Some of heads,neurons,weights; all by default.")] = None,
    judge: Judged = None,
) -> None:
    """Find what harmful generation needs, ablate it, and measure what is lost and what is still recognised."""
    shared.check_dtype(dtype)
    from dataclasses import replace

    from ..data import load_prompts
    from ..experiment.dissociation import dissociate as run
    from ..experiment.settings import Settings

    with told_errors():
        settings = Settings.quick(seed=seed) if quick else Settings(seed=seed)
        if names := shared.listed(components):
            settings = replace(settings, components=tuple(names))
        test = load_prompts(prompts)
        with writable(out):
            validated = shared.validated(judge, device)
            loaded = shared.load(model, device, dtype)
            result = run(
                loaded,
                None,
                test,
                settings=settings,
                judge=validated,
                folder=out,
                name=model,
                command=shared.command_line(sys.argv),
                progress=True,
            )
            result.save(out)
    print_result(result, out)
