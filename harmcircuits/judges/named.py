"""Judges by a short word and a model: `grades:PLACE`, `yes-no:PLACE`, `guard:PLACE`, `rubric:PLACE`."""

from pathlib import Path
from typing import Any

from .loading import JudgeModel
from .prompts import JudgePrompt, as_published
from .protocol import Judge, JudgeError
from .rubric import GradeJudge, GuardJudge, RubricJudge, YesNoJudge

JUDGES: dict[str, type[Any]] = {"grades": GradeJudge, "yes-no": YesNoJudge, "guard": GuardJudge, "rubric": RubricJudge}
PROMPTED = ("grades", "yes-no")


def named_judge(spec: str, *, prompt: str | Path | None = None, device: str | None = None) -> Judge:
    """The judge of harm that `spec` names, a word and a hub id or folder; loaded when it first reads.

    >>> named_judge("guard:my-guard").name
    'guard my-guard'

    Args:
        spec: `grades`, `yes-no`, `guard` or `rubric`, a colon, and a hub id or a transformers folder.
        prompt: a file with the prompt of `grades` or `yes-no`; letter by letter a published one where it is one
            (`as_published`), else your own with {request} and {response}.
        device: of the judge; CUDA where there is one by default.

    Raises:
        JudgeError: another word, no model, or a prompt for a judge that has its own.
    """
    word, _, place = spec.partition(":")
    if word not in JUDGES or not place:
        raise JudgeError(f"the judge {spec!r} is unknown: give {', '.join(f'{name}:MODEL' for name in JUDGES)}")
    own: dict[str, Any] = {"model": JudgeModel(place, device=device)}
    if prompt is not None:
        if word not in PROMPTED:
            raise JudgeError(f"the judge {word!r} has its own prompt; a file is for {' and '.join(PROMPTED)}")
        own["prompt"] = _prompt(Path(prompt))
    judge: Judge = JUDGES[word](**own)
    return judge


def _prompt(path: Path) -> JudgePrompt:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise JudgeError(f"cannot read the judge's prompt {path}: {error}") from error
    try:
        return as_published(text)
    except JudgeError:
        return JudgePrompt(text)
