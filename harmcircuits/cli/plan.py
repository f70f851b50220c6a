"""What a command would cost on a model and a device, before anything is loaded."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import shared
from .printed import print_frame
from .shared import DEFAULT_MODEL, Device, Dtype, Model, Prompts, Triples, told_errors

COLUMNS = ["tokens", "passes", "TFLOP", "GB moved", "minutes"]


def plan(
    command: Annotated[str | None, typer.Argument(help="Of which each step is shown; all commands by default.")] = None,
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    device: Device = None,
    dtype: Dtype = "float32",
    triples: Triples = None,
    quick: Annotated[bool, typer.Option("--quick", help="Of quick runs.")] = False,
    crossed: Annotated[bool, typer.Option("--crossed", help="Of dissociate with --crossed.")] = False,
    folds: Annotated[int, typer.Option(min=0, help="Of dissociate with so many --folds. 0: one split.")] = 0,
    flops: Annotated[
        float | None,
        typer.Option(help="FLOPs a second in --dtype, of a GPU that is not here: 4e14. With --device cpu: a CPU's."),
    ] = None,
    bandwidth: Annotated[float | None, typer.Option(help="Bytes a second; with --flops nothing is measured.")] = None,
    memory: Annotated[float | None, typer.Option(help="GB (10⁹ bytes) of the device, where it is not here.")] = None,
    flops_float32: Annotated[
        float | None, typer.Option(help="FLOPs a second in float32; by default a sixteenth of --flops in half precision.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write all numbers to this file too.")] = None,
) -> None:
    """Say what commands would cost on a model and a device: tokens, passes, FLOPs, time, and peak memory with a cure.

    Of the model its configuration alone is read. --device may also be a card that is not here: h100, h200, a100, rtx4090.
    """
    shared.check_dtype(dtype)
    import torch

    from ..capacity import plan as run
    from ..capacity.commands import COMMANDS
    from ..prompts.readers import load_prompts

    with told_errors(kept=False):
        settings = None if triples is None else shared.claim_settings(quick=quick, seed=0, triples=triples)
        found = run(
            model,
            commands=COMMANDS if command is None else [command],
            device=device,
            dtype=getattr(torch, dtype),
            prompts=load_prompts(prompts),
            settings=settings,
            quick=quick,
            crossed=crossed,
            folds=folds,
            flops=flops,
            bandwidth=bandwidth,
            memory=None if memory is None else 1e9 * memory,
            flops_float32=flops_float32,
            reproduce=shared.command_line(sys.argv),
        )
        if json is not None:
            found.save(json)
    typer.echo(str(found))
    table = found.table() if command is None else found.steps(command)
    units = {"TFLOP": table["flops"] / 1e12, "GB moved": table["bytes"] / 1e9, "minutes": table["seconds"] / 60}
    shown = table.assign(**units)[[table.columns[0], *COLUMNS]]
    print_frame(shown.astype({"tokens": int, "passes": int}), title="expected; intervals, selecting and files come on top")
    print_frame(found.memory(), title="peak memory")
