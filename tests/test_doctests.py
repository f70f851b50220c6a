"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import harmcircuits

PACKAGE = Path(harmcircuits.__path__[0])
FILES = [file.relative_to(PACKAGE) for file in sorted(PACKAGE.rglob("*.py")) if ">>>" in file.read_text("utf-8")]
MODULES = [".".join(["harmcircuits", *file.with_suffix("").parts]).removesuffix(".__init__") for file in FILES]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed
