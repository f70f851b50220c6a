"""What transformers, tokenizers and TransformerLens raise for files that they cannot read, told with cause and cure."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from .. import store
from . import hub
from .complete import weights_told
from .fetch import LoadError
from .source import Source, accepted


@contextmanager
def whole(source: Source) -> Iterator[None]:
    """Raises LoadError where the files of a model that was loaded meanwhile lacked some of its weights."""
    with weights_told() as told:
        yield
    if told:
        where = f"of the hub's {source.place}" if source.on_hub else f"in {source.place}"
        raise LoadError(f"{source.label!r}: {told}. Are the files {where} complete, and of a causal language model?")


@contextmanager
def explained(source: Source) -> Iterator[None]:
    """Turns what transformers and TransformerLens raise for a missing, damaged or unknown model into a LoadError."""
    try:
        yield
    except OSError as error:
        if error.errno is not None or source.place is None:  # the system's own: a full disk, say
            raise
        cause = hub.cause(error, source.place) if source.on_hub else f"not a complete transformers folder ({error})."
        raise LoadError(f"{source.label!r}: {cause} {accepted(source.label)}") from error
    except (SafetensorError, json.JSONDecodeError, RecursionError, StrictDataclassError) as error:
        if source.place is None:
            raise
        raise LoadError(f"{source.label!r}: {_damage(error, source)}") from error
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):  # of memory, say
            raise
        cause = "its weights have other shapes than its config.json says, or are of another model. Copy or download it again."
        raise LoadError(f"{source.label!r}: {cause}") from error
    except ValueError as error:
        if "trust_remote_code" in str(error):
            cause = "its code lies on the hub, and code from a hub is never run. If you trust it, load it yourself"
        elif "supported architecture" in str(error):
            line = version("transformer-lens")
            cause = f"TransformerLens {line} lacks its architecture. If another class fits, load it"
        elif source.place is None or _ours(error):
            raise
        else:
            raise LoadError(f"{source.label!r}: {_unread(error, source)}") from error
        raise LoadError(f"{source.label!r}: {cause} and pass hf_model= and tokenizer=.") from error
    except Exception as error:  # of values of another kind, transformers and tokenizers raise nearly every kind
        known = (
            isinstance(error, TypeError | AttributeError | LookupError | ArithmeticError | AssertionError)
            or type(error) is Exception
        )
        if source.place is None or not known or _ours(error):
            raise
        raise LoadError(f"{source.label!r}: {_unread(error, source)}") from error


def _ours(error: BaseException) -> bool:
    """Whether it was raised in this package: then it is no damage of a file, but told as it is."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and str(frame.tb_frame.f_globals.get("__name__", "")).startswith("harmcircuits")


def _unread(error: Exception, source: Source) -> str:
    """What transformers could not read, and the cure."""
    what = f"{type(error).__name__}: {store.one_line(error)}"
    damage = f"a file of its configuration or tokenizer {_where(source)} is damaged or changed, or too new for these versions"
    return f"{damage} ({what}). {_cure(source)}"


def _damage(error: Exception, source: Source) -> str:
    """What is wrong with the files that a model was read from, where they are, and the cure."""
    what = "a file of its weights" if isinstance(error, SafetensorError) else "a file of its configuration or tokenizer"
    return f"{what} {_where(source)} is damaged or cut short ({error}). {_cure(source)}"


def _where(source: Source) -> str:
    return "in the hub's local cache" if source.on_hub else f"in {source.place}"


def _cure(source: Source) -> str:
    again = f"Download it again with `hf download {source.place} --force-download`."
    return again if source.on_hub else "Copy or download the folder again."
