"""Does alignment compress harmful writing onto a smaller part?"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import shared
from .shared import (
    Device,
    Dtype,
    Grains,
    Points,
    Prompts,
    Ratio,
    Seed,
    Span,
    Triples,
    told_errors,
    writable,
)

SHOWN = ["measure", "grain", "reading", "beyond", "change", "change_low", "change_high", "p_adjusted", "n"]
STAGES = ["stage", "reading", "request_information", "refusals", "n"]


def alignment(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Checkpoints in order: aliases, hub ids, local folders, adapter folders (LoRA, of peft: merged into the base "
            "that they name), .gguf files."
        ),
    ],
    names: Annotated[str | None, typer.Option(help="Of the stages in results: base,SFT,DPO.")] = None,
    fixed: Annotated[int, typer.Option(min=0, help="Which one's responses all stages are read on, counted from 0.")] = 0,
    control: Annotated[
        list[str] | None,
        typer.Option(help="Another ladder from the same base, which is left out: 'style only=FOLDER,FOLDER'. Can be repeated."),
    ] = None,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder for alignment.html, alignment.json, and what is finished.")] = Path(
        "out/alignment"
    ),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    triples: Triples = None,
    grains: Grains = None,
    points: Points = None,
    span: Span = None,
    ratio: Ratio = None,
    quick: Annotated[bool, typer.Option("--quick", help="3 sizes of neurons and weights, 16 triples.")] = False,
) -> None:
    """Measure how compact harmful writing is at each checkpoint (base, SFT, DPO …): does it come to rest on a smaller part?"""
    shared.check_dtype(dtype)
    controls = ladders(control or [])
    from typing import Any

    from ..claims.alignment import QUICK, compare_alignment
    from ..data import load_prompts

    with told_errors():
        read = load_prompts(prompts)
        settings = shared.claim_settings(quick=quick, seed=seed, triples=triples)
        sizes: dict[str, Any] = {**QUICK} if quick else {}
        sizes |= shared.given(grains=shared.listed(grains), points=points, spans=shared.spans(span), ratio=ratio)
        with writable(out):
            found = compare_alignment(
                models,
                read,
                names=None if names is None else names.split(","),
                fixed=fixed,
                controls=controls,
                settings=settings,
                load=lambda name: shared.load(str(name), device, dtype),
                folder=out,
                reproduce=shared.command_line(sys.argv),
                progress=True,
                **sizes,
            )
            found.save(out)
    frames = {
        "Stages: whether they answer the request (nats per token), and refusals": found.table()[STAGES],
        "Changes from the first stage to the last; areas in nats per token": found.tables["trends"][SHOWN],
    }
    shared.print_claim(found, out, frames)


def ladders(given: list[str]) -> dict[str, list[str]]:
    """Control ladders by name.

    Raises:
        BadParameter: one without a name or a checkpoint, or a name that is given twice.

    >>> ladders(["style only=out/style1,out/style2"])
    {'style only': ['out/style1', 'out/style2']}
    """
    found: dict[str, list[str]] = {}
    for one in given:
        name, _, models = one.partition("=")
        if not name or not models or name in found:
            usage = f"{one!r} is not a name of its own and checkpoints: 'style only=FOLDER,FOLDER'"
            raise typer.BadParameter(usage, param_hint="--control")
        found[name] = models.split(",")
    return found
