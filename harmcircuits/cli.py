"""The same verbs from a shell. Every field of a command's settings is an option of it."""

import inspect
import logging
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ._version import __version__
from .experiment.settings import CompactnessSettings, GeneralitySettings, MisalignmentSettings, Settings

if TYPE_CHECKING:
    import pandas as pd

    from .experiment.result import Dissociation

app = typer.Typer(
    name="harmcircuits",
    help="Which parts of a language model write harmful text, and does the model still recognise harm without them?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # a traceback must never show a request or a response
)
DEFAULT_MODEL = "smollm2-135m-instruct"
COMMON = ("seed", "components")
"""Settings among a command's first options; the other fields of `Settings` are advanced ones."""
CLAIMS: dict[str, tuple[type[Settings], str]] = {
    "compactness": (CompactnessSettings, "Ablate growing circuits: how small a part carries harmful generation?"),
    "generality": (GeneralitySettings, "Ablate the circuit of each category of harm: what does it do to the others?"),
    "distinct": (Settings, "Ablate the circuits of harm and of everyday capabilities: what is lost without each?"),
    "alignment": (CompactnessSettings, "Compare checkpoints in order: does harmful generation come to rest on a smaller part?"),
    "misalignment": (MisalignmentSettings, "Fine-tune on bad advice about one subject, pruned first or not: does it spread?"),
}
"""Claims with a command of their own: settings and help. A claim's module is loaded when its command runs."""

Model = Annotated[str, typer.Option(help="Alias, hub id, local folder or .gguf file.")]
Checkpoints = Annotated[
    list[str],
    typer.Argument(metavar="NAME=MODEL...", help="Checkpoints in order: base=MODEL aligned=MODEL. One is loaded at a time."),
]
Prompts = Annotated[str | None, typer.Option(help="A prompt file or a benchmark (xstest, …); the built-in set by default.")]
Out = Annotated[Path, typer.Option(help="Folder for pages, numbers and circuits.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …; the GPU by default where there is one.")]
Dtype = Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="Type of the weights.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer prompts: minutes on two cores, wide intervals.")]
Judge = Annotated[str | None, typer.Option(help="A judge: qwen3guard-0.6b, granite-guardian, llama-guard.")]


def with_settings(kind: type[Settings]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option a field of `kind`; it gets the settings, with the defaults of `--quick` where that is set."""
    about = dict(re.findall(r"^ {8}(\w+): (.*)", "\n".join(base.__doc__ or "" for base in reversed(kind.__mro__)), re.M))
    options = [inspect.Parameter("quick", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quick)]
    for field in fields(kind):
        advanced = field.name in Settings.__dataclass_fields__ and field.name not in COMMON
        default = getattr(kind(), field.name)
        text = ",".join(map(_as_text, default)) if isinstance(default, tuple) else str(default)
        option = typer.Option(help=about.get(field.name), show_default=text, rich_help_panel="Advanced" if advanced else None)
        annotation = Annotated[str | None if isinstance(default, tuple) else field.type | None, option]  # type: ignore[operator,valid-type]
        options.append(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*, quick: bool, **options: Any) -> None:
            default = kind.quick() if quick else kind()
            values = {field.name: options.pop(field.name) for field in fields(kind)}
            typed = {name: _typed(name, value, getattr(default, name)) for name, value in values.items() if value is not None}
            command(settings=replace(default, **typed), **options)

        own = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "settings"]
        run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
        return run

    return decorate


def _as_text(part: object) -> str:
    return ":".join(f"{number:g}" for number in part) if isinstance(part, tuple) else str(part)


def _typed(name: str, value: Any, default: Any) -> Any:
    """
    >>> _typed("head_fractions", "0.1,0.2", (0.01,)), _typed("weight_fractions", "1e-5:5e-5", ((0.1, 0.2),))
    ((0.1, 0.2), ((1e-05, 5e-05),))
    """
    if not isinstance(default, tuple):
        return value
    like = default[0]
    try:
        parts = [part.strip() for part in value.split(",")]
        return tuple(tuple(map(float, part.split(":", 1))) if isinstance(like, tuple) else type(like)(part) for part in parts)
    except ValueError:
        example = ",".join(map(_as_text, default))
        raise typer.BadParameter(f"{value!r}: write it like {example}", param_hint=f"--{name.replace('_', '-')}") from None


def errors_in_a_line(command: Callable[..., None]) -> Callable[..., None]:
    """Print the package's own errors without a traceback; anything else is a bug and shows one."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except KeyboardInterrupt as error:
            typer.secho("stopped: finished measurements are kept. Give the same command again to go on", err=True)
            raise typer.Exit(130) from error
        except Exception as error:
            if not type(error).__module__.startswith("harmcircuits"):
                raise
            from .store import printable  # a message may quote what a file holds

            typer.secho("error: " + printable(error, kept="\n"), err=True, fg="red")
            raise typer.Exit(1) from error

    return run


def load(model: str, device: str | None, dtype: str) -> Any:
    import torch

    from .models.load import load_model

    return load_model(model, device=device, dtype=getattr(torch, dtype))


def checkpoints(series: Sequence[str], device: str | None, dtype: str) -> dict[str, Callable[[], Any]]:
    """Return by name what loads each checkpoint of `NAME=MODEL`."""
    named = dict(text.partition("=")[::2] for text in series)
    if len(named) < len(series) or not all((*named, *named.values())):
        raise typer.BadParameter(f"give each checkpoint a name of its own: base=MODEL aligned=MODEL, not {' '.join(series)}")
    return {name: partial(load, model, device, dtype) for name, model in named.items()}


def run(
    command: str, model: str | Sequence[str], prompts: str | None, out: Path, device: str | None, dtype: str, **options: Any
) -> Any:
    """Call the package's function of that name on the prompts, save its result and return it."""
    import harmcircuits as hc

    from .store import held

    test, typed = hc.load_prompts(prompts), shlex.join(["harmcircuits", *sys.argv[1:]])
    with held(out):  # a folder that cannot be written is noticed before the model is loaded
        loaded = load(model, device, dtype) if isinstance(model, str) else checkpoints(model, device, dtype)
        options |= {"name": model} if isinstance(model, str) else {}
        result = getattr(hc, command)(loaded, prompts=test, folder=out, command=typed, progress=True, **options)
        result.save(out)
    return result


@with_settings(Settings)
def dissociate(
    settings: Settings,
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Out = Path("out/dissociate"),
    device: Device = None,
    dtype: Dtype = "float32",
    judge: Judge = None,
) -> None:
    """Find what harmful generation needs, ablate it, and measure what is lost and what is still recognised."""
    from .judges import load_judge, validate

    reader = None if judge is None else validate(load_judge(judge, device=device))
    print_dissociation(run("dissociate", model, prompts, out, device, dtype, settings=settings, judge=reader), out)


def claim_command(name: str, kind: type[Settings], about: str) -> Callable[..., None]:
    """Return the command of one claim."""
    series = name == "alignment"

    def command(
        settings: Settings,
        model: Checkpoints if series else Model = ... if series else DEFAULT_MODEL,  # type: ignore[valid-type]
        prompts: Prompts = None,
        out: Out = Path("out") / name,
        device: Device = None,
        dtype: Dtype = "float32",
    ) -> None:
        finding = run(name, model, prompts, out, device, dtype, settings=settings)
        print_result(finding.question, finding.table(), [finding.sentence], out / name)

    command.__name__, command.__doc__ = name, about
    return with_settings(kind)(command)


@with_settings(Settings)
def paper(
    settings: Settings,
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    claims: Annotated[str | None, typer.Option(help="Some of them, with commas between; all by default.")] = None,
    out: Out = Path("out/paper"),
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Test every claim that one model can answer; a run that was stopped continues."""
    from .claims.run import check_names

    names = check_names(claims and [name.strip() for name in claims.split(",")])
    table = run("paper", model, prompts, out, device, dtype, settings=settings, claims=names).table()
    sentences = [f"  · {row['claim']}: {row['sentence']}" for row in table.to_dict("records")]
    print_result("Every claim of the paper that one model can answer", table[["claim", "answer"]], sentences, out / "paper")


def attribute(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Out = Path("out/attribute"),
    requests: Annotated[int, typer.Option(help="Harmful requests, and as many benign ones, that the model answers.")] = 64,
    heads: Annotated[int, typer.Option(help="Heads of the circuit.")] = 8,
    neurons: Annotated[int, typer.Option(help="Neurons of the circuit.")] = 128,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Score heads and neurons on the model's own responses and select a circuit: scores.csv, heads.html, circuit.json."""
    import harmcircuits as hc

    asked, loaded = hc.load_prompts(prompts), load(model, device, dtype)
    harmful, benign = (
        hc.attribute(loaded, hc.elicit(loaded, kind[:requests], temperature=0)) for kind in (asked.harmful, asked.benign)
    )
    circuit = hc.select(harmful, protect=benign, heads=heads, neurons=neurons)
    circuit.save(out / "circuit.json")
    harmful.table(1000).to_csv(out / "scores.csv", index=False)
    hc.figures.save(harmful.figure(), out / "heads.html")
    typer.echo(f"{circuit!r}: {out / 'circuit.json'}    Scores: {out / 'scores.csv'}    Heads: {out / 'heads.html'}")


def export(
    circuit: Annotated[list[Path], typer.Argument(help="Circuits (.json) and weight masks (.safetensors) to leave out.")],
    out: Annotated[Path, typer.Option(help="Folder of the pruned model.")],
    model: Model = DEFAULT_MODEL,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Write the model without circuits as an ordinary transformers folder."""
    import harmcircuits as hc

    parts = [(hc.Circuit if path.suffix == ".json" else hc.WeightMask).load(path) for path in circuit]
    hc.export(load(model, device, dtype), parts, out)
    typer.echo(f"{out} is a transformers model without {', '.join(map(repr, parts))}")


def report(folder: Annotated[Path, typer.Argument(help="Folder of an earlier run of dissociate.")]) -> None:
    """Show the table and the answer of an earlier run again."""
    from .experiment.result import Dissociation

    print_dissociation(Dissociation.load(folder), folder)


def print_dissociation(result: "Dissociation", out: Path) -> None:
    """Print the table of effect sizes, the answers in words, and where the rest lies."""
    table = result.table(controls=False).T.reset_index()
    answers = [
        f"{row['circuit']}, against {row['contrast']} benign requests: {row['answer']}" for row in result.report["answers"]
    ]
    lines = [*answers, f"Answer: {result.answer}", *(f"  · {sentence}" for sentence in result.sentences)]
    print_result("Effect sizes, 95 % intervals", table, lines, out / "report")


def print_result(title: str, table: "pd.DataFrame", lines: Sequence[str], files: Path) -> None:
    """Print a table, sentences, and where page and numbers are; nothing for a number that is missing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from .store import printable

    grid = Table(*map(str, table.columns), title=title, title_justify="left", padding=(0, 1, 0, 0), box=None)
    for row in table.itertuples(index=False):
        cells = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row)
        grid.add_row(*(Text("" if cell in ("nan", "None") else printable(cell, kept="\n")) for cell in cells))
    Console().print(grid)
    for line in lines:
        typer.echo(printable(line))
    typer.echo(f"Page: {files}.html    Numbers: {files}.json")


COMMANDS: tuple[Callable[..., None], ...] = (
    dissociate,
    *(claim_command(name, *claim) for name, claim in CLAIMS.items()),
    paper,
    attribute,
    export,
    report,
)
for command in COMMANDS:
    app.command()(errors_in_a_line(command))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is being done.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Logging for every command."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


def main() -> None:
    """The entry point `harmcircuits`."""
    app()
