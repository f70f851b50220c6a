"""Whether what writes one kind of harm writes the others."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import shared
from .shared import DEFAULT_MODEL, Device, Dtype, Model, Prompts, Seed, Triples, told_errors, writable

SHOWN = ["selected", "tested", "harmful", "near", "selectivity", "selectivity_low", "selectivity_high", "ratio"]


def generality(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder for generality.html, generality.json, and what is finished.")] = Path(
        "out/generality"
    ),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    matched: Annotated[int, typer.Option(help="Matched random circuits beside each group's.")] = 3,
    triples: Triples = None,
    quick: Annotated[bool, typer.Option("--quick", help="The same with smaller numbers.")] = False,
) -> None:
    """Select circuits on each kind of harm, test them on every other: is it one mechanism?"""
    shared.check_dtype(dtype)
    from ..claims.generality import generality as measure
    from ..claims.generality.plan import check_options, check_prompts
    from ..data import load_prompts

    with told_errors():
        settings = shared.claim_settings(quick=quick, seed=seed, triples=triples)
        sizes: dict[str, Any] = {"matched": matched, "settings": settings}
        read = load_prompts(prompts)
        check_options(matched)
        check_prompts(read, settings)
        with writable(out):
            loaded = shared.load(model, device, dtype)
            command = shared.command_line(sys.argv)
            found = measure(loaded, read, folder=out, name=model, reproduce=command, progress=True, **sizes)
            found.save(out)
    frames = {
        "Selected on (rows), tested on: rises of L, nats per token; 95 % intervals": found.table()[SHOWN],
    }
    shared.print_claim(found, out, frames)
