"""An aligned ladder and its control, trained from a model."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from . import shared
from .shared import DEFAULT_MODEL, Device, Dtype, Model, Prompts, Seed, told_errors, writable


def ladder(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Annotated[Path, typer.Option(help="Folder of the checkpoints: sft, dpo, style-sft, style-dpo.")] = Path("out/ladder"),
    seed: Seed = 0,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Train a model to refuse what is harmful (sft), then to prefer that (dpo); and, as a control, twice in style alone.

    Learns from the training split alone. Needs the extra `finetune`. Stopped and called again, it goes on where it was.
    """
    shared.check_dtype(dtype)
    from ..organisms.aligned import aligned_ladder, seconds, style_ladder

    with told_errors(), writable(out):
        learnt, *_ = shared.splits(prompts, seed)
        base = shared.load(model, device, dtype)
        typer.echo(f"about {seconds(base, learnt, seed=seed, progress=True) / 60:.0f} minutes of training, on this machine")
        stages, control = (
            [str(own.folder) for own in train(base, learnt, seed=seed, folder=out, progress=True, tell=typer.echo).values()]
            for train in (aligned_ladder, style_ladder)
        )
    typer.echo(f"Checkpoints: {', '.join((*stages, *control))}")
    then = ["harmcircuits", "alignment", model, *stages, "--control", f"style only={','.join(control)}"]
    typer.echo(f"Measure them: {shlex.join(then)}")
