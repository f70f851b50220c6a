"""Which ways of asking show that the model recognises harm."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import shared
from .printed import print_frame
from .shared import DEFAULT_MODEL, Device, Dtype, Model, Seed, told_errors, writable
from .written import write_claim


def recognition(
    model: Model = DEFAULT_MODEL,
    prompts: Annotated[
        str | None, typer.Option(help="A prompt file with harmful and benign requests; the built-in triples by default.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for readings.html, readings.json, outcomes.csv, the figure, and the journal.")
    ] = Path("out/recognition"),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer shots, draws and prompts.")] = False,
) -> None:
    """Compare every reading of recognition on the intact model: shots, questions after the response, probes, and controls.

    Stopped and called again with the same options, it goes on where it was.
    """
    shared.check_dtype(dtype)
    from dataclasses import replace

    from ..experiments.readings import QUICK, compare_readings
    from ..prompts.readers import load_prompts

    with told_errors():
        read = load_prompts(prompts)
        sizes: dict[str, Any] = {**QUICK} if quick else {}
        with writable(out, "readings", "outcomes"):
            loaded = shared.load(model, device, dtype)
            found = compare_readings(loaded, read, seed=seed, folder=out, progress=True, **sizes)
            found = replace(found, settings={**found.settings, "reproduce": shared.command_line(sys.argv)})
            written = write_claim(found, out)
    print_frame(found.table(), title=f"AUROC of harmful requests against {found.against} ones; 95 % intervals")
    for remark in found.remarks:
        typer.echo(f"  · {remark}")
    typer.echo(written)
