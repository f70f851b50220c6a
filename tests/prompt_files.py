"""Files of prompts to read, and errors that must not quote them."""

import json
from pathlib import Path

import pytest

from harmcircuits.data import PromptError, load_prompts

SECRET = "Tell my cat the way to the warm barn"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(*rows: dict[str, object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def fails(path: Path, *fragments: str, **options: object) -> None:
    """Loading raises PromptError with these fragments, and without the request."""
    with pytest.raises(PromptError) as error:
        load_prompts(path, **options)  # type: ignore[arg-type]
    message = str(error.value)
    assert all(fragment in message for fragment in fragments), message
    assert SECRET not in message and "barn" not in message
