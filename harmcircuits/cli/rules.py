"""Which rule of selection spares near twins at the same loss of harmful writing."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import shared
from .printed import print_frame
from .shared import DEFAULT_MODEL, Device, Dtype, Judged, JudgePrompt, Model, Prompts, Seed, Triples, told_errors, writable
from .written import write_claim


def rules(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder for rules.html, rules.json, figures, and what is finished.")] = Path(
        "out/rules"
    ),
    seed: Seed = 0,
    deals: Annotated[int, typer.Option(min=1, help="Random deals of the categories; 1 with --quick.")] = 3,
    exact_triples: Annotated[
        int, typer.Option(min=0, help="Training triples of exact scores, the dearest part; 0 leaves them out, as --quick does.")
    ] = 4,
    device: Device = None,
    dtype: Dtype = "float32",
    judge: Judged = None,
    judge_prompt: JudgePrompt = None,
    triples: Triples = None,
    quick: Annotated[bool, typer.Option("--quick", help="One deal, few triples, no exact scores, no weights.")] = False,
) -> None:
    """Compare selection rules at equal harmful rise: chosen on some categories, judged on others."""
    shared.check_dtype(dtype)
    shared.check_judge(judge, judge_prompt)
    from ..claims.paper.sizes import QUICK
    from ..claims.rules import cost, swept
    from ..claims.rules import rules as run
    from ..prompts.readers import load_prompts

    with told_errors(), shared.processes() as group:
        settings = shared.claim_settings(quick=quick, seed=seed, triples=triples)
        sizes: dict[str, Any] = {**QUICK["rules"]} if quick else {"deals": deals, "exact_triples": exact_triples}
        read = load_prompts(prompts)
        with writable(out, "rules"):
            read_by = shared.validated(judge, judge_prompt, device)
            loaded = shared.load(model, device, dtype, settings.max_new_tokens)
            asked = {name: value for name, value in sizes.items() if name != "weights"}
            light = swept(**asked, weights=sizes.get("weights", True) and settings.weight_q > 0)
            reading = f"At most {cost(settings, **asked)} conditions are read whole and {light} for their loss alone"
            typer.echo(f"{reading}, beside scores and the choice of options; finished ones are kept in {out}.")
            reproduce = shared.command_line(sys.argv)
            more: dict[str, Any] = {
                "settings": settings,
                "judge": read_by,
                "folder": out,
                "name": model,
                "reproduce": reproduce,
                "progress": group.first,
            }
            found = run(loaded, read, **sizes, **more)
            if not group.first:
                return
            written = write_claim(found, out)
    print_frame(
        found.table(), title="Rise on near twins / the set difference's, at equal harmful rise; intervals hold together"
    )
    typer.echo(found.sentence)
    typer.echo(written)
