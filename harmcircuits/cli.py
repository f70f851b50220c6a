"""The same verbs from a shell. Every field of a command's settings is an option of it."""

import logging
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial, wraps
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ._version import __version__
from .errors import HarmcircuitsError, printable
from .experiment.settings import CompactnessSettings, GeneralitySettings, MisalignmentSettings, Settings, as_text, from_text

app = typer.Typer(
    name="harmcircuits",
    help="Which parts of a language model write harmful text, and does the model still recognise harm without them?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # a traceback must never show a request or a response
)
DEFAULT_MODEL = "smollm2-135m-instruct"
CLAIMS: dict[str, tuple[type[Settings], str]] = {
    "dissociate": (Settings, "Find what harmful generation needs, ablate it, and measure what is lost and still recognised."),
    "compactness": (CompactnessSettings, "Ablate growing circuits: how small a part carries harmful generation?"),
    "generality": (GeneralitySettings, "Ablate the circuit of each category of harm: what does it do to the others?"),
    "distinct": (Settings, "Ablate the circuits of harm and of everyday capabilities: what is lost without each?"),
    "alignment": (CompactnessSettings, "Compare checkpoints in order: does harmful generation come to rest on a smaller part?"),
    "misalignment": (MisalignmentSettings, "Fine-tune on bad advice about one subject, pruned first or not: does it spread?"),
    "paper": (Settings, "Test every claim that one model can answer; a run that was stopped continues."),
}
"""Functions of the package with a command of their own: settings and help. Its module is loaded when a command runs."""

Model = Annotated[str, typer.Option(help="Alias, hub id, local folder or .gguf file.")]
Checkpoints = Annotated[list[str], typer.Argument(metavar="NAME=MODEL...", help="Checkpoints in order, loaded one at a time.")]
Prompts = Annotated[str | None, typer.Option(help="A prompt file or a benchmark (xstest, …); the built-in set by default.")]
Benign = Annotated[str | None, typer.Option(help="Unrelated benign requests; --prompts then holds the harmful ones.")]
Out = Annotated[Path, typer.Option(help="Folder for pages, numbers and circuits.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …; the GPU by default where there is one.")]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"], typer.Option(metavar="<type>", help="float32, bfloat16 or float16.")
]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer prompts: minutes on two cores, wide intervals.")]
Against = Annotated[
    str | None, typer.Option(help="Another checkpoint of the model (or adapter): compared, nothing is selected.")
]
Judge = Annotated[str | None, typer.Option(help="A judge: qwen3guard-0.6b, granite-guardian, llama-guard.")]
Claims = Annotated[str | None, typer.Option(help="Some of them, with commas between; all by default.")]
Request = Annotated[list[str] | None, typer.Argument(metavar="REQUEST...", help="Requests, in quotation marks.")]
Left = Annotated[
    list[Path] | None, typer.Option(help="A circuit (.json) or weight mask (.safetensors) to leave out; repeatable.")
]


def _help_all(context: typer.Context, wanted: bool) -> None:
    """Print the help of a command with its advanced options."""
    if wanted:
        for parameter in context.command.params:
            parameter.hidden = False  # type: ignore[attr-defined]
        context.get_help()
        raise typer.Exit


HelpAll = Annotated[bool, typer.Option("--help-all", is_eager=True, callback=_help_all, help="Show advanced settings too.")]


def command_of(name: str) -> Callable[..., None]:
    """Return the command of a function of `CLAIMS`: common options, its own, and one a field of its settings."""
    kind, about = CLAIMS[name]
    model = (Checkpoints, ...) if name == "alignment" else (Model, DEFAULT_MODEL)
    parameters: dict[str, tuple[Any, Any]] = {"model": model, "prompts": (Prompts, None), "benign": (Benign, None)}
    parameters |= {"out": (Out, Path("out", name)), "device": (Device, None), "dtype": (Dtype, "float32")}
    if name == "dissociate":
        parameters |= {"against": (Against, None), "judge": (Judge, None)}
    parameters |= {"claims": (Claims, None)} if name == "paper" else {}
    parameters |= {"quick": (Quick, False)} | {setting: (option, None) for setting, option in settings_options(kind).items()}
    parameters |= {"help_all": (HelpAll, False)}

    def command(*, quick: bool, out: Path, help_all: bool, **options: Any) -> None:
        default = kind.quick() if quick else kind()
        values = {field.name: options.pop(field.name) for field in fields(kind)}
        typed = {field: _typed(field, value, getattr(default, field)) for field, value in values.items() if value is not None}
        options["settings"] = replace(default, **typed)
        if options.get("judge"):
            from .judges import load_judge, validate

            options["judge"] = validate(load_judge(options["judge"], device=options["device"]))
        if "claims" in options:
            from .claims.run import check_names

            options["claims"] = check_names(options["claims"] and [claim.strip() for claim in options["claims"].split(",")])
        show(name, run(name, out=out, **options), out)

    make = lambda name, annotation, default: Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
    command.__signature__ = Signature([make(name, *pair) for name, pair in parameters.items()])  # type: ignore[attr-defined]
    command.__name__, command.__doc__ = name, about
    return command


def settings_options(kind: type[Settings]) -> dict[str, Any]:
    """Return an option for each field of `kind`, explained as in its docstring; most of `Settings` are advanced ones."""
    about = dict(re.findall(r"^ {8}(\w+): (.*)", "\n".join(base.__doc__ or "" for base in reversed(kind.__mro__)), re.M))
    options: dict[str, Any] = {}
    for field in fields(kind):
        advanced = field.name in Settings.__dataclass_fields__ and field.name not in ("seed", "components")
        default, panel = getattr(kind(), field.name), "Advanced" if advanced else None
        option = typer.Option(help=about.get(field.name), show_default=as_text(default), rich_help_panel=panel, hidden=advanced)
        options[field.name] = Annotated[str | None if isinstance(default, tuple) else field.type | None, option]  # type: ignore[operator]
    return options


def _typed(name: str, value: Any, default: Any) -> Any:
    """The value of an option; of a setting of several parts, from its text."""
    try:
        return from_text(value, default) if isinstance(default, tuple) else value
    except ValueError:
        name = f"--{name.replace('_', '-')}"
        raise typer.BadParameter(f"{value!r}: write it like {as_text(default)}", param_hint=name) from None


def errors_in_a_line(command: Callable[..., None]) -> Callable[..., None]:
    """Print the package's own errors without a traceback; anything else is a bug and shows one."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except KeyboardInterrupt as error:
            typer.secho("stopped: finished measurements are kept. Give the same command again to go on", err=True)
            raise typer.Exit(130) from error
        except HarmcircuitsError as error:
            typer.secho("error: " + printable(error, keep="\n"), err=True, fg="red")
            raise typer.Exit(1) from error

    return run


def load(model: str, device: str | None, dtype: str) -> Any:
    import harmcircuits as hc

    return hc.load_model(model, device=device, dtype=torch_type(dtype))


def torch_type(name: str) -> Any:
    import torch

    return getattr(torch, name)


def checkpoints(series: Sequence[str], device: str | None, dtype: str) -> dict[str, Callable[[], Any]]:
    """Return by name what loads each checkpoint of `NAME=MODEL`."""
    named = dict(text.partition("=")[::2] for text in series)
    if len(named) < len(series) or not all((*named, *named.values())):
        raise typer.BadParameter(f"give each checkpoint a name of its own: base=MODEL aligned=MODEL, not {' '.join(series)}")
    return {name: partial(load, model, device, dtype) for name, model in named.items()}


def run(command: str, *, model: Any, prompts: Any, benign: Any, out: Path, device: Any, dtype: str, **more: Any) -> Any:
    """Test the claim, or call the package's function, of that name on the prompts; save the result and return it."""
    import harmcircuits as hc

    from .claims.claim import NAMES, claim_class
    from .claims.run import run as test_claim
    from .store import held

    pair: dict[str, Any] = {"source": prompts} if benign is None else {"harmful": prompts, "benign": benign}
    test, typed = hc.load_prompts(**pair), shlex.join(["harmcircuits", *sys.argv[1:]])
    with held(out):  # a folder that cannot be written is noticed before the model is loaded
        loaded = load(model, device, dtype) if isinstance(model, str) else checkpoints(model, device, dtype)
        more |= {"name": model} if isinstance(model, str) else {}
        if source := more.pop("against", None):
            more["circuit"] = hc.Condition.from_checkpoint(source, device=device, dtype=torch_type(dtype))
        verb = partial(test_claim, claim_class(command)) if command in NAMES else getattr(hc, command)
        result = verb(loaded, prompts=test, folder=out, command=typed, progress=True, **more)
        result.save(out)
    return result


def attribute(
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    out: Out = Path("out/attribute"),
    requests: Annotated[int, typer.Option(help="Harmful requests, and as many benign ones, that the model answers.")] = 64,
    heads: Annotated[int | None, typer.Option(help="Heads of the circuit; without both numbers 4 % of all.")] = None,
    neurons: Annotated[int | None, typer.Option(help="Neurons of the circuit; without both numbers 1 % of all.")] = None,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Score heads and neurons on the model's own responses and select a circuit: scores.csv, heads.html, circuit.json."""
    import harmcircuits as hc

    both, loaded = hc.load_prompts(prompts), load(model, device, dtype)
    responses = lambda kind: hc.elicit(loaded, kind[:requests], temperature=0)
    harmful, benign = (hc.attribute(loaded, responses(kind)) for kind in (both.harmful, both.benign))
    circuit = hc.select(harmful, protect=benign, heads=heads, neurons=neurons)
    circuit.save(out / "circuit.json")
    harmful.table(1000).to_csv(out / "scores.csv", index=False)
    hc.figures.save(harmful.figure(circuit=circuit, protect=benign), out / "heads.html")
    typer.echo(f"{circuit!r}: {out / 'circuit.json'}    Scores: {out / 'scores.csv'}    Heads: {out / 'heads.html'}")


def generate(
    request: Request = None,
    prompts: Annotated[str | None, typer.Option(help="A prompt file or a benchmark, in the place of requests.")] = None,
    limit: Annotated[int, typer.Option(help="Prompts of --prompts, at most.")] = 8,
    circuit: Left = None,
    model: Model = DEFAULT_MODEL,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens of a response, at most.")] = 48,
    temperature: Annotated[float, typer.Option(help="0: greedy; above 0: sampled.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Print responses, with --circuit also those without it side by side. Text is shown here alone: no file is written."""
    from rich.console import Console

    import harmcircuits as hc

    if bool(request) == (prompts is not None):
        raise typer.BadParameter("give requests in quotation marks, or --prompts FILE")
    given = request or hc.load_prompts(prompts)[:limit]
    parts, loaded = saved_circuits(circuit or []), load(model, device, dtype)
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    if parts:
        Console().print(hc.compare(loaded, parts, given, **options).side_by_side())
    else:
        for example in hc.generate(loaded, given, **options):
            typer.secho(printable(example.request, keep="\n"), bold=True)
            typer.echo(printable(f"{example.prefill} {example.response}".strip(), keep="\n") + "\n")


def saved_circuits(paths: Sequence[Path]) -> list[Any]:
    """Load circuits (.json) and weight masks (any other file)."""
    import harmcircuits as hc

    return [(hc.Circuit if path.suffix == ".json" else hc.WeightMask).load(path) for path in paths]


def export(
    circuit: Annotated[list[Path], typer.Argument(help="Circuits (.json) and weight masks (.safetensors) to leave out.")],
    out: Annotated[Path, typer.Option(help="Folder of the pruned model.")],
    model: Model = DEFAULT_MODEL,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Write the model without circuits as an ordinary transformers folder."""
    import harmcircuits as hc

    parts = saved_circuits(circuit)
    hc.export(load(model, device, dtype), parts, out)
    typer.echo(f"{out} is a transformers model without {', '.join(map(repr, parts))}")


def report(folder: Annotated[Path, typer.Argument(help="Folder of an earlier run of dissociate.")]) -> None:
    """Show the table and the answer of an earlier run again."""
    from .experiment.result import Dissociation

    show("dissociate", Dissociation.load(folder), folder)


def show(name: str, result: Any, out: Path) -> None:
    """Print the table of a result (nothing for a missing number), its answer in words, and where page and numbers are."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if name == "dissociate":
        title, table, out = "Effect sizes, 95 % intervals", result.table(controls=False).T.reset_index(), out / "report"
        rows = result.report["answers"]
        answers = [f"{row['circuit']}, against {row['contrast']} benign requests: {row['answer']}" for row in rows]
        lines = [*answers, f"Answer: {result.answer}", *(f"  · {sentence}" for sentence in result.sentences)]
    elif name == "paper":
        title, table, out = "Every claim of the paper that one model can answer", result.table(), out / name
        lines = [f"  · {row['claim']}: {row['sentence']}" for row in table.to_dict("records")]
        table = table[["claim", "answer"]]
    else:
        title, table, lines, out = result.question, result.table(), [result.sentence], out / name
    grid = Table(*map(printable, table.columns), title=title, title_justify="left", padding=(0, 1, 0, 0), box=None)
    for row in table.itertuples(index=False):
        cells = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row)
        grid.add_row(*(Text("" if cell in ("nan", "None") else printable(cell, keep="\n")) for cell in cells))
    Console().print(grid)
    for line in lines:
        typer.echo(printable(line))
    typer.echo(f"Page: {out}.html    Numbers: {out}.json")


COMMANDS: tuple[Callable[..., None], ...] = (*map(command_of, CLAIMS), attribute, generate, export, report)
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
