"""The call from Python that makes a run again, for the report of a run that no command made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import torch

from ..components import Circuit, WeightMask
from ..models.aliases import ALIASES
from ..models.protocol import HookedModel, model_hash
from ..prompts.promptset import PromptSet
from ..prompts.readers import load_prompts
from .checks import ready_splits
from .settings import Settings

SPLITS = ("train", "development", "test")
ASIDE = ("model", "models", "prompts", "folder", "name", "reproduce", "progress", "tell", "load")
"""Options that change no number, or that lines of their own tell."""
Given = ParamSpec("Given")
Found = TypeVar("Found")


def with_call(verb: Callable[Given, Found]) -> Callable[Given, Found]:
    """A verb that writes down its own call, where no command is given as `reproduce=`; not where its material was prepared
    elsewhere."""

    @wraps(verb)
    def told(*args: Given.args, **options: Given.kwargs) -> Found:
        if options.get("reproduce") or options.get("material") is not None:
            return verb(*args, **options)
        again = cast(Any, {"reproduce": verb_call(verb.__name__, args, options)})
        return verb(*args, **(options | again))

    return told


def verb_call(verb: str, args: Sequence[object], options: Mapping[str, object]) -> str:
    """Lines of Python that make the call again; what only its caller has is a comment, and `...` in the call.

    >>> print(verb_call("compare_alignment", [["org/base", "org/chat"]], {"fixed": 4, "folder": "out"}))
    import harmcircuits as hc
    models = ['org/base', 'org/chat']
    hc.compare_alignment(models, fixed=4)
    """
    of = dict(zip(("models" if verb == "compare_alignment" else "model", "prompts"), args, strict=False)) | dict(options)
    what, first = next(iter(of.items()))
    prompts = of.get("prompts")
    lines = ["import harmcircuits as hc", *(_loading(first) if hasattr(first, "cfg") else [_listed(what, first)])]
    asked = [what]
    if isinstance(prompts, PromptSet):
        lines.append(f"# prompts: {len(prompts)} prompts of {prompts.name!r}, sha256 {prompts.digest[:16]}")
        asked.append("prompts=prompts")
    for name, value in of.items():
        if name in ASIDE or value is None:
            continue
        written = in_python(value) if isinstance(value, Settings) else repr(value) if _is_plain(value) else "..."
        asked.append(f"{name}={written}")
        if written == "...":
            lines.append(f"# {name}: {getattr(value, 'name', type(value).__name__)}")
    return "\n".join([*lines, f"hc.{verb}({', '.join(asked)})"])


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, (*value, *value.values())))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | int | float | bool)


def _listed(what: str, models: object) -> str:
    names = [str(one) for one in models if isinstance(one, str | Path)] if isinstance(models, list | tuple) else []
    whole = isinstance(models, list | tuple) and len(names) == len(models)
    return f"{what} = {names!r}" if whole else f"# {what}: of your own"


def as_call(
    model: HookedModel,
    given: Mapping[str, Circuit | WeightMask],
    splits: Mapping[str, PromptSet | None],
    settings: Settings,
    *,
    crossed: bool,
    judge: str = "",
) -> str:
    """Lines of Python that run `dissociate` again. What only its caller has (a model from a folder or file, prompts, circuits,
    a judge) is a comment that says which one it was.

    Args:
        splits: by name (`SPLITS`), as they were given.
        judge: its name.
    """
    asked = [f"{split}={split}" for split in SPLITS[:2] if splits[split] is not None]
    asked += [f"settings={in_python(settings)}"] + ["crossed=True"] * crossed
    asked += ["judge=judge"] * bool(judge)
    lines = [
        "import harmcircuits as hc",
        *_loading(model),
        *_prompts(splits, settings.seed),
        *(f"# {name}: {own!r}, saved beside this report" for name, own in given.items()),
        *([f"# judge: {judge}"] if judge else []),
    ]
    circuits = "None" if not given else f"{{{', '.join(f'{name!r}: ...' for name in given)}}}"
    return "\n".join([*lines, f"hc.dissociate(model, {circuits}, test, {', '.join(asked)})"])


def _loading(model: Any) -> list[str]:
    """What loads it, if its name alone says where it is."""
    name = str(getattr(model.cfg, "model_name", "") or "")
    kind = next(iter(model.parameters())).dtype
    if name not in ALIASES and "/" not in name:
        return [f"# model: {name or 'one without a name'}, weights sha256 {model_hash(model)}, {kind}"]
    if kind == torch.float32:
        return [f"model = hc.load_model({name!r})"]
    return ["import torch", f"model = hc.load_model({name!r}, dtype={kind})"]


def in_python(settings: Settings) -> str:
    """
    >>> in_python(Settings(seed=1)), in_python(Settings.quick())
    ('hc.Settings(seed=1)', 'hc.Settings.quick(seed=0)')
    """
    if settings == Settings.quick(seed=settings.seed):
        return f"hc.Settings.quick(seed={settings.seed})"
    changed = [one.name for one in fields(settings) if getattr(settings, one.name) != one.default]
    return f"hc.Settings({', '.join(f'{name}={getattr(settings, name)!r}' for name in changed)})"


def _prompts(splits: Mapping[str, PromptSet | None], seed: int) -> list[str]:
    own = dict(zip(SPLITS, ready_splits(load_prompts(), seed=seed), strict=True))
    if all(part is None or part.digest == own[split].digest for split, part in splits.items()):
        return [f"{', '.join(SPLITS)} = hc.load_prompts().split(seed={seed})"]
    parts = [(split, part) for split, part in splits.items() if part is not None]
    return [f"# {split}: {len(part)} prompts of {part.name!r}, sha256 {part.digest[:16]}" for split, part in parts]
