"""Commands of the claims, made by one function: every setting of a claim can be given by its name."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import shared
from .shared import DEFAULT_MODEL, Device, Dtype, Model, Prompts, told_errors, writable

if TYPE_CHECKING:
    from ..claims.claim import Finding
    from ..experiment.settings import Settings

HELP = {
    "compactness": "Ablate growing circuits: how small a part carries harmful generation?",
    "generality": "Ablate the circuit of each category of harm: what does it do to the others?",
    "distinct": "Ablate the circuits of harm and of everyday capabilities: what is lost without each?",
    "alignment": "Compare checkpoints in order: does harmful generation come to rest on a smaller part?",
    "misalignment": "Fine-tune on bad advice about one subject, after pruning and without: does it spread?",
}
"""Claims that have a command, and what it is for; a claim's module is loaded when its command runs."""
ON_SERIES = ("alignment",)
"""Claims on several checkpoints."""
Checkpoints = Annotated[
    list[str],
    typer.Argument(metavar="NAME=MODEL...", help="Checkpoints in order: base=MODEL aligned=MODEL. One is loaded at a time."),
]


def settings_from(kind: "type[Settings]", *, quick: bool, given: Mapping[str, str]) -> "Settings":
    """Return the claim's settings with values given as text: numbers, names with commas, pairs as `1e-5:5e-5`.

    Raises:
        BadParameter: a name that is no setting, or a value of another type.
    """
    from dataclasses import fields, replace

    default = kind.quick() if quick else kind()
    names = {field.name for field in fields(kind)}
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in names:
            raise typer.BadParameter(f"{name!r} is no setting: there are {', '.join(sorted(names))}", param_hint="--set")
        try:
            values[name] = _parsed(text, getattr(default, name))
        except (KeyError, ValueError):
            raise typer.BadParameter(f"{name}={text!r}: give it like {getattr(default, name)!r}", param_hint="--set") from None
    return replace(default, **values)


def _parsed(text: str, like: Any) -> Any:
    """Text as a value of the same kind as the default.

    >>> _parsed("0.1,0.2", (0.01,)), _parsed("1e-5:5e-5", ((0.1, 0.2),)), _parsed("no", True)
    ((0.1, 0.2), ((1e-05, 5e-05),), False)
    """
    if isinstance(like, tuple):
        part = like[0]
        return tuple(_pair(one) if isinstance(part, tuple) else type(part)(one.strip()) for one in text.split(","))
    if isinstance(like, bool):
        return {"yes": True, "no": False}[text]
    return type(like)(text)


def _pair(text: str) -> tuple[float, float]:
    first, second = map(float, text.split(":"))
    return first, second


Out = Annotated[Path, typer.Option(help="Folder for pages, numbers, and what is measured.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer prompts: minutes on two cores, wide intervals.")]
Seed = Annotated[int | None, typer.Option(help="Seed of splits, controls and bootstrap.")]
Components = Annotated[str | None, typer.Option(help="Some of heads,neurons,weights; all by default.")]
Sizes = Annotated[list[str] | None, typer.Option("--set", help="A setting: train_prompts=32. Can be repeated.")]


def _given(seed: int | None, components: str | None, sizes: list[str] | None) -> dict[str, str]:
    given = dict(part.partition("=")[::2] for part in sizes or ())
    return given | {key: str(value) for key, value in (("seed", seed), ("components", components)) if value is not None}


def claim_command(name: str) -> Callable[..., None]:
    """Return the command of one claim, with its name and help."""
    given_as, default = (Checkpoints, ...) if name in ON_SERIES else (Model, DEFAULT_MODEL)

    def command(
        model: given_as = default,  # type: ignore[valid-type]
        prompts: Prompts = None,
        out: Out = Path("out") / name,
        device: Device = None,
        dtype: Dtype = "float32",
        quick: Quick = False,
        seed: Seed = None,
        components: Components = None,
        sizes: Sizes = None,
    ) -> None:
        shared.check_dtype(dtype)
        from ..claims.claim import claim_class, run
        from ..data import load_prompts

        with told_errors():
            claim = claim_class(name)
            settings = settings_from(claim.settings_class, quick=quick, given=_given(seed, components, sizes))
            test = load_prompts(prompts)
            with writable(out):
                loaded = shared.load(model, device, dtype) if isinstance(model, str) else checkpoints(model, device, dtype)
                label, typed = model if isinstance(model, str) else "", shared.command_line(sys.argv)
                finding = run(claim, loaded, test, settings=settings, folder=out, name=label, command=typed, progress=True)
                finding.save(out)
        print_finding(finding, out)

    command.__name__, command.__doc__ = name, HELP[name]
    return command


def paper(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    claims: Annotated[str | None, typer.Option(help="Some of them, with commas between; all by default.")] = None,
    out: Out = Path("out/paper"),
    device: Device = None,
    dtype: Dtype = "float32",
    quick: Quick = False,
    seed: Seed = None,
    components: Components = None,
    sizes: Sizes = None,
) -> None:
    """Test every claim that one model can answer; a run that was stopped continues."""
    shared.check_dtype(dtype)
    from ..claims.paper import check_names
    from ..claims.paper import paper as run
    from ..data import load_prompts
    from ..experiment.settings import Settings

    with told_errors():
        chosen = check_names(shared.listed(claims))
        settings = settings_from(Settings, quick=quick, given=_given(seed, components, sizes))
        test = load_prompts(prompts)
        with writable(out):
            loaded = shared.load(model, device, dtype)
            typed = shared.command_line(sys.argv)
            result = run(
                loaded, test, claims=chosen, settings=settings, folder=out, name=model, command=typed, progress=True
            )  # fmt: skip
            page = result.save(out)
    table = result.table()
    shared.print_frame(table[["claim", "answer"]], title="Every claim of the paper that one model can answer")
    for row in table.to_dict("records"):
        typer.echo(f"  · {row['claim']}: {row['sentence']}")
    typer.echo(f"Page: {page}    Numbers: {out / 'paper.json'}")


def checkpoints(given: Sequence[str], device: str | None, dtype: str) -> dict[str, Callable[[], Any]]:
    """Return what loads each checkpoint, by name.

    Raises:
        BadParameter: one without a name or a model, or a name that is given twice.
    """
    named = dict(text.partition("=")[::2] for text in given)
    if len(named) < len(given) or not all((*named, *named.values())):
        raise typer.BadParameter(f"give each checkpoint a name of its own: base=MODEL aligned=MODEL, not {' '.join(given)}")
    return {name: partial(shared.load, model, device, dtype) for name, model in named.items()}


def print_finding(finding: "Finding", out: Path) -> None:
    """Table, answer, and where page and numbers are."""
    shared.print_frame(finding.table(), title=finding.question)
    typer.echo(finding.sentence)
    typer.echo(f"Page: {out / f'{finding.claim}.html'}    Numbers: {out / f'{finding.claim}.json'}")
