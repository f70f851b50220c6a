"""Whether a model's files held every weight of it: transformers draws a missing one at random and goes on."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

_TOLD_BY = "transformers.modeling_utils"
_ROW = re.compile(r"^(\S+) +\| (?:\x1b\[[\d;]*m)?MISSING", re.MULTILINE)
"""Of the table that transformers logs of a model it has loaded: the name of a weight, and what was the matter."""


@contextmanager
def missing_weights() -> Iterator[list[str]]:
    """Yields a list of the weights that the files of a model which is loaded meanwhile did not have.

    transformers tells them in its log alone, where it is loud enough; what is logged stays as it was.
    """
    log = logging.getLogger(_TOLD_BY)
    own, loud, names = log.level, log.getEffectiveLevel(), list[str]()

    def read(record: logging.LogRecord) -> bool:
        names.extend(_ROW.findall(record.getMessage()))
        return record.levelno >= loud

    log.addFilter(read)
    log.setLevel(min(loud, logging.WARNING))
    try:
        yield names
    finally:
        log.setLevel(own)
        log.removeFilter(read)


def told(names: list[str]) -> str:
    """The missing weights in words.

    >>> told(["model.norm.weight", "lm_head.weight"])
    '2 weights are in none of its files (model.norm.weight, …) and would be random numbers'
    """
    listed = names[0] + (", …" if len(names) > 1 else "")
    verb = "weight is" if len(names) == 1 else "weights are"
    return f"{len(names)} {verb} in none of its files ({listed}) and would be random numbers"
