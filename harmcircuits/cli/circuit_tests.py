"""Tests of an earlier run's circuit."""

from pathlib import Path
from typing import Annotated, Any

import typer

from . import shared
from .printed import print_frame
from .shared import DEFAULT_MODEL, Device, Dtype, Model, Prompts, told_errors


def circuit_tests(
    folder: Annotated[Path, typer.Argument(help="Folder of an earlier run of `dissociate`.")],
    circuit: Annotated[str | None, typer.Option(help="Name of one of its circuits; the first by default.")] = None,
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    device: Device = None,
    dtype: Dtype = "float32",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer triples and components.")] = False,
) -> None:
    """Is a circuit all that writes harm (independence), no more than that (minimality), and beyond chance (sufficiency)?"""
    shared.check_dtype(dtype)
    from .. import figures
    from ..experiments.earlier import test_earlier
    from ..experiments.result import Dissociation

    with told_errors():
        run = Dissociation.load(folder)
        _, _, test = shared.splits(prompts, int(run.report["seed"]))
        loaded = shared.load(model, device, dtype)
        sizes: dict[str, Any] = {"triples": 4, "neurons": 12} if quick else {}
        tests = test_earlier(loaded, run, test, name=circuit, progress=True, **sizes)
        tests.save(folder)
        figures.save(tests.figure(), folder / "circuit-tests.html")
    shown = tests.table().drop(columns=["reason"])
    print_frame(shown, title=f"Tests of the circuit, on {tests.about['triples']} held-out triples; 95 % intervals")
    typer.echo(f"Numbers: {folder / 'circuit-tests.json'}    Figure: {folder / 'circuit-tests.html'}")
