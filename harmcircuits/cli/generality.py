"""Whether what writes one kind of harm writes the others."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from . import shared
from .printed import print_frame
from .shared import DEFAULT_MODEL, Device, Dtype, Model, Prompts, Seed, told_errors, writable

SHOWN = ["selected", "tested", "harmful", "near", "selectivity", "selectivity_low", "selectivity_high", "ratio"]


def generality(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder for generality.json and figures.")] = Path("out/generality"),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    matched: Annotated[int, typer.Option(help="Matched random circuits beside each group's.")] = 3,
    weights: Annotated[bool, typer.Option("--weights", help="Also masks of single weights, selected on each group.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="The same with smaller numbers; too few draws for p values.")] = False,
) -> None:
    """Select circuits on each kind of harm, test them on every other: is it one mechanism?"""
    shared.check_dtype(dtype)
    from .. import figures
    from ..claims.generality import generality as measure
    from ..experiments.settings import Settings
    from ..prompts.readers import load_prompts

    with told_errors():
        settings = replace(Settings.quick(seed=seed), test_triples=16) if quick else Settings(seed=seed)
        read = load_prompts(prompts)
        with writable(out):
            loaded = shared.load(model, device, dtype)
            command = shared.command_line(sys.argv)
            sizes = {"matched": matched, "weights": weights, "settings": settings}
            found = measure(loaded, read, folder=out, name=model, reproduce=command, progress=True, **sizes)  # type: ignore[arg-type]
            path = found.save(out)
            pages = {name: out / f"generality-{name}.html" for name in found.figures()}
            for name, figure in found.figures().items():
                figures.save(figure, pages[name])
    print_frame(found.transfer()[SHOWN], title="Selected on (rows), tested on: rises of L, nats per token; 95 % intervals")
    typer.echo(f"{found.found}: {found.sentence}")
    for limit in found.limits:
        typer.echo(f"  · {limit}")
    typer.echo(f"Numbers: {path}    Figures: {', '.join(map(str, pages.values()))}")
