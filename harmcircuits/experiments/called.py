"""The call from Python that makes a run again, for the report of a run that no command made."""

from collections.abc import Mapping
from dataclasses import fields

from ..components import Circuit, WeightMask
from ..prompts.promptset import PromptSet
from ..prompts.readers import load_prompts
from .checks import ready_splits
from .settings import Settings

SPLITS = ("train", "development", "test")


def as_call(
    model: str,
    given: Mapping[str, Circuit | WeightMask],
    splits: Mapping[str, PromptSet | None],
    settings: Settings,
    *,
    crossed: bool,
    folds: int,
) -> str:
    """Lines of Python that run `dissociate` again. What only its caller has (a model of its own, prompts, circuits) is a
    comment that says which one it was.

    Args:
        model: the name that `load_model` knows, or that its caller gave.
        splits: by name (`SPLITS`), as they were given.
    """
    asked = [f"{split}={split}" for split in SPLITS[:2] if splits[split] is not None]
    asked += [f"settings={in_python(settings)}"] + ["crossed=True"] * crossed + [f"folds={folds}"] * bool(folds)
    lines = [
        "import harmcircuits as hc",
        f"model = hc.load_model({model!r})" if model else "# model: one of your own",
        *_prompts(splits, settings.seed),
        *(f"# {name}: {own!r}, saved beside this report" for name, own in given.items()),
    ]
    circuits = "None" if not given else f"{{{', '.join(f'{name!r}: ...' for name in given)}}}"
    return "\n".join([*lines, f"hc.dissociate(model, {circuits}, test, {', '.join(asked)})"])


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
