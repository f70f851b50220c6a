"""All of the paper's claims from a shell."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from . import shared
from .shared import DEFAULT_MODEL, Device, Dtype, Judged, JudgePrompt, Model, Prompts, Seed, Triples, told_errors, writable


def paper(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    claims: Annotated[str | None, typer.Option(help="Some of them, with commas between; all by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for paper.html, paper.json, a JSON file a claim, and the journal.")] = Path(
        "out/paper"
    ),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    judge: Judged = None,
    judge_prompt: JudgePrompt = None,
    triples: Triples = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer sizes, controls and triples: estimates and intervals.")] = False,
) -> None:
    """Ask every claim of the paper of one model: is harmful writing compact, general, distinct?

    Stopped and called again with the same options, it goes on where it was.
    """
    shared.check_dtype(dtype)
    shared.check_judge(judge, judge_prompt)
    from ..claims.paper import paper as run
    from ..claims.paper.registry import entries
    from ..data import load_prompts

    with told_errors():
        settings = shared.claim_settings(quick=quick, seed=seed, triples=triples)
        named = shared.listed(claims)
        entries(named)  # a name that is not one is told before anything is loaded
        read = load_prompts(prompts)
        with writable(out):
            read_by = shared.validated(judge, judge_prompt, device)
            found = run(
                shared.load(model, device, dtype),
                read,
                claims=named,
                settings=settings,
                judge=read_by,
                quick=quick,
                folder=out,
                name=model,
                reproduce=shared.command_line(sys.argv),
                progress=True,
            )
            page = found.save(out)
    table = found.table()
    shared.print_frame(
        table[["claim", "found", "evidence"]], title=f"{found.n_triples} test triples; 95 % intervals unless named"
    )
    for row in table.to_dict("records"):
        typer.echo(f"  · {row['claim']}: {row['sentence']}")
    typer.echo(f"Page: {page}    Numbers: {out / 'paper.json'}")
