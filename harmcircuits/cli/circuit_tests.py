"""Tests of an earlier run's circuit."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import shared
from .printed import print_frame
from .shared import DEFAULT_MODEL, Device, Dtype, Model, Prompts, told_errors, writable
from .written import write_claim

if TYPE_CHECKING:
    import pandas as pd

    from ..experiments.hypotheses_results import CircuitTests


def circuit_tests(
    folder: Annotated[Path, typer.Argument(help="Folder of an earlier run of `dissociate`.")],
    circuit: Annotated[str | None, typer.Option(help="Name of one of its circuits; the first by default.")] = None,
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    device: Device = None,
    dtype: Dtype = "float32",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer triples and components.")] = False,
) -> None:
    """Is a circuit all that writes harm (independence), no more than that (minimality), and beyond chance (sufficiency)?

    Stopped and called again with the same options, it goes on where it was.
    """
    shared.check_dtype(dtype)
    from ..experiments.earlier import QUICK, test_earlier
    from ..experiments.result import Dissociation

    with told_errors():
        run = Dissociation.load(folder)
        _, _, test = shared.splits(prompts, run.report["seed"])
        loaded = shared.load(model, device, dtype)
        sizes: dict[str, Any] = {**QUICK} if quick else {}
        how: dict[str, Any] = {"name": circuit, "reproduce": shared.command_line(sys.argv), "folder": folder, "progress": True}
        with writable(folder, "circuit-tests"):
            tests = test_earlier(loaded, run, test, **how, **sizes)
            written = write_claim(tests, folder)
    print_frame(_shown(tests), title=f"Tests of the circuit, on {tests.about['triples']} held-out triples; 95 % intervals")
    for one in tests.findings:
        typer.echo(f"  · {one.test}, {one.measure}: {one.question}")
    typer.echo(written)


def _shown(tests: "CircuitTests") -> "pd.DataFrame":
    """What fits a terminal: the questions follow, and every column is in the file."""
    import pandas as pd

    rows = [
        {
            "test": one.test,
            "measure": one.measure,
            "value": str(one.estimate),
            "p adjusted": "" if one.p_adjusted is None else "<0.001" if one.p_adjusted < 0.001 else f"{one.p_adjusted:.3f}",
            "answer": one.answer,
        }
        for one in tests.findings
    ]
    return pd.DataFrame(rows)
