"""Whether what a report.json holds is what a run writes there."""

from typing import Any

from .values import ReportError

PRINTED: dict[str, type] = {
    "conditions": list, "n_triples": int, "settings": dict, "verdict": str, "verdict_sentence": str, "verdict_reasons": list,
}  # fmt: skip
"""What is shown of every run, and of which kind it is."""
KINDS: dict[str, type] = {**PRINTED, "seed": int, "model": dict}
_TOLD: dict[type, str] = {list: "a list", dict: "an object", str: "a text", int: "a whole number"}


def checked_report(found: object, *, where: str, kinds: dict[str, type] = KINDS) -> dict[str, Any]:
    """`found`, if everything in `kinds` is there and of its kind.

    Args:
        where: it was read, for the message.

    Raises:
        ReportError: naming what is missing or of another kind.

    >>> checked_report({"verdict": 5}, where="out/report.json", kinds={"verdict": str})
    Traceback (most recent call last):
    harmcircuits.report.values.ReportError: out/report.json: "verdict" is a text in a run's report, and no int. Restore the \
file, or run the measurement again.
    """
    if not isinstance(found, dict):
        raise ReportError(f"{where} is a {type(found).__name__}: is it the report.json of a harmcircuits run?")
    if missing := [name for name in kinds if name not in found]:
        raise ReportError(f"{where} has no {', '.join(missing)}: is it the report.json of a harmcircuits run?")
    for name, kind in kinds.items():
        if not isinstance(found[name], kind) or isinstance(found[name], bool):
            raise ReportError(
                f'{where}: "{name}" is {_TOLD[kind]} in a run\'s report, and no {type(found[name]).__name__}. Restore the '
                "file, or run the measurement again."
            )
    return found
