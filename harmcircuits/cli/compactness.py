"""How small a part of the model writes harm."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import shared
from .shared import (
    DEFAULT_MODEL,
    Device,
    Dtype,
    Grains,
    Judged,
    JudgePrompt,
    Model,
    Points,
    Prompts,
    Ratio,
    Seed,
    Span,
    Triples,
    told_errors,
    writable,
)


def compactness(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder for compactness.html, compactness.json, and what is finished.")] = Path(
        "out/compactness"
    ),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    judge: Judged = None,
    judge_prompt: JudgePrompt = None,
    triples: Triples = None,
    grains: Grains = None,
    points: Points = None,
    span: Span = None,
    ratio: Ratio = None,
    quick: Annotated[bool, typer.Option("--quick", help="3 sizes, 16 triples.")] = False,
) -> None:
    """Sweep how many heads, neurons and weights are off: how small a part carries harmful writing?"""
    shared.check_dtype(dtype)
    shared.check_judge(judge, judge_prompt)
    from typing import Any

    from ..claims.compactness import compactness as run
    from ..claims.paper.sizes import QUICK
    from ..prompts.readers import load_prompts

    with told_errors():
        read = load_prompts(prompts)
        settings = shared.claim_settings(quick=quick, seed=seed, triples=triples)
        asked = shared.given(grains=shared.listed(grains), points=points, spans=shared.spans(span), ratio=ratio)
        sizes: dict[str, Any] = ({**QUICK["compactness"]} if quick else {}) | asked
        with writable(out):
            read_by = shared.validated(judge, judge_prompt, device)
            loaded = shared.load(model, device, dtype)
            found = run(
                loaded,
                read,
                settings=settings,
                judge=read_by,
                folder=out,
                name=model,
                reproduce=shared.command_line(sys.argv),
                progress=True,
                **sizes,
            )
            found.save(out)
    columns = ["grain", "rule", "fraction_to_halve", "twin_gap", "lowest_retained", "area", "area_low", "area_high"]
    frames = {
        "Share of weights that halves harmful writing; areas at admissible cost, nats per token": found.table()[columns],
    }
    shared.print_claim(found, out, frames)
