"""Models that transformers reads from a folder or a hub: safetensors alone, no code of theirs, and no weight missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Any

import torch

from .. import store
from .fetch import LoadError

_CURE = (
    "What is loaded is a whole causal language model in safetensors (a pickle could run code), without code of its own, of an "
    "architecture that TransformerLens has. Anything else: load it with transformers, and pass hf_model= and tokenizer=."
)


def pretrained(kind: Any, place: str | PathLike[str], *, gguf_file: str | None = None, **options: Any) -> Any:
    """A model of `kind` (a class of transformers) from a folder or a hub id, with the dtype, revision and so on in `options`.

    Raises:
        LoadError: there is no such model, its files are damaged or are pickles, it needs code of its own, or they lack some of
            its weights, which transformers would draw at random.
    """
    own = {"gguf_file": gguf_file} if gguf_file else {"use_safetensors": True}
    with explained(place):
        model, told = kind.from_pretrained(place, trust_remote_code=False, output_loading_info=True, **own, **options)
    if missing := sorted(told["missing_keys"]):
        raise LoadError(
            f"{place}: {len(missing)} of its weights are in none of its files ({missing[0]}), and would be random numbers. Are "
            "the files complete, and of a model of this kind?"
        )
    return model


@contextmanager
def explained(name: str | PathLike[str]) -> Iterator[None]:
    """Turns what transformers and TransformerLens raise of a missing, damaged or unknown model into a LoadError."""
    try:
        yield
    except (LoadError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of damaged files, transformers and tokenizers raise nearly every kind
        if isinstance(error, OSError) and error.errno is not None:  # the system's own: a full disk, say
            raise
        what = store.printable(f"{type(error).__name__}: {error}", kept="\n")
        raise LoadError(f"{name} cannot be loaded ({what}). {_CURE}") from error
