"""Whether a model's files held the weights of that model: transformers draws a missing one at random, leaves out those of
layers that the configuration does not have, and goes on."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .. import store

_TOLD_BY = "transformers.modeling_utils"
_COLOUR = re.compile(r"(\x1b\[[\d;]*m)")
_ROW = re.compile(r"^(\S+) +\| (?:\x1b\[[\d;]*m)?(MISSING|UNEXPECTED)", re.MULTILINE)
"""Of the table that transformers logs of a model it has loaded: the name of a weight, and what was the matter."""
_OF_LAYER = re.compile(r"\b(?:layers|h|blocks)\.[\d{].*(?<!inv_freq)(?<!masked_bias)(?<!attn\.bias)(?<!attention\.bias)$")
"""A weight of a layer; of some old models, files hold constants beside them, which no newer class has."""


@dataclass(frozen=True)
class Told:
    """What transformers told of a model's files.

    Attributes:
        missing: weights that they did not have.
        left_out: weights of layers that they have, and the model that was made after its configuration has not.
    """

    missing: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.left_out)

    def __str__(self) -> str:
        """
        >>> str(Told(["model.norm.weight", "lm_head.weight"]))
        '2 weights are in none of its files (model.norm.weight, …) and would be random numbers'
        """
        if self.missing:
            return f"{_listed(self.missing, 'in none of its files')} and would be random numbers"
        return f"{_listed(self.left_out, 'of layers that its config.json does not have')} and would be left out"


@contextmanager
def weights_told() -> Iterator[Told]:
    """Yields what transformers tells of the files of a model which is loaded meanwhile; true where that is not the model.

    It is told in its log alone, where it is loud enough; what is logged stays as it was, but for what a name in a file would do
    to a terminal.
    """
    log = logging.getLogger(_TOLD_BY)
    own, loud, told = log.level, log.getEffectiveLevel(), Told()

    def read(record: logging.LogRecord) -> bool:
        for name, matter in _ROW.findall(record.getMessage()):
            if matter == "MISSING":
                told.missing.append(name)
            elif _OF_LAYER.search(name):
                told.left_out.append(name)
        record.msg, record.args = _shown(record.getMessage()), ()
        return record.levelno >= loud

    log.addFilter(read)
    log.setLevel(min(loud, logging.WARNING))
    try:
        yield told
    finally:
        log.setLevel(own)
        log.removeFilter(read)


def _shown(message: str) -> str:
    """With its own colours, and nothing else that a terminal would do.

    >>> _shown("\\x1b[31mname\\x1b[2J\\x1b[0m")
    '\\x1b[31mname\\\\x1b[2J\\x1b[0m'
    """
    parts = _COLOUR.split(message)
    return "".join(part if at % 2 else store.printable(part, kept="\n\t") for at, part in enumerate(parts))


def _listed(names: list[str], where: str) -> str:
    shown = names[0] + (", …" if len(names) > 1 else "")
    return f"{len(names)} {'weight is' if len(names) == 1 else 'weights are'} {where} ({shown})"
