"""The public names are a contract: they exist, stay what they are, and take what the contract says."""

import ast
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import harmcircuits as hc

KEYWORD_ONLY, EMPTY = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
OPTIONS = (KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)

CONTRACT: dict[str, tuple[tuple[str, ...], set[str]]] = {
    "load_model": (("name",), {"device", "dtype", "revision", "hf_model", "tokenizer", "hooked"}),
    "load_prompts": (("source",), {"harmful", "benign", "prefill"}),
    "elicit": (("model", "prompts"), set()),
    "attribute": (("model", "examples"), {"method", "metric"}),
    "recognition_metric": (("shots",), set()),
    "attribute_weights": (("model", "harmful"), {"benign", "metric", "batch_size"}),
    "select": (("scores",), {"protect", "heads", "neurons", "protect_fraction", "q", "p"}),
    "ablated": (("model", "circuit"), {"method", "alpha", "reference"}),
    "sweep": (("model", "circuits", "examples"), {"method", "alpha", "batch_size"}),
    "generate": (("model", "prompts", "circuit"), {"method", "alpha", "max_new_tokens", "temperature", "seed"}),
    "compare": (("model", "circuit", "prompts"), {"method", "alpha", "max_new_tokens", "temperature", "seed"}),
    "export": (("model", "circuit", "folder"), {"name"}),
    "overlap": (("first", "second"), {"model"}),
    "dissociate": (
        ("model", "circuit", "prompts"),
        {"train", "development", "settings", "judge", "folder", "name", "progress"},
    ),
    "measure": (("model", "conditions", "readings"), {"cache", "executor", "progress"}),
    "loss": (("model", "examples"), set()),
    "Prompt": (("request",), {"prefill", "category", "group", "role", "harm_group"}),
    "Example": ((), {"request", "prefill", "response", "category", "group", "role", "response_ids"}),
}
"""Name: parameters that may be positional, and some of those that are keyword-only."""


@pytest.mark.parametrize("name", CONTRACT)
def test_signatures(name: str) -> None:
    positional, keywords = CONTRACT[name]
    parameters = inspect.signature(getattr(hc, name)).parameters
    assert tuple(at for at, parameter in parameters.items() if parameter.kind not in OPTIONS) == positional
    assert keywords <= {at for at, parameter in parameters.items() if parameter.kind is KEYWORD_ONLY}
    required = {at for at, parameter in parameters.items() if parameter.kind is KEYWORD_ONLY and parameter.default is EMPTY}
    assert required == ({"request", "response"} if name == "Example" else set())


def test_every_name_is_there_and_listed() -> None:
    assert set(CONTRACT) <= set(hc.__all__)
    assert len(set(hc.__all__)) == len(hc.__all__)
    assert set(hc.__all__) <= set(dir(hc))
    for name in hc.__all__:
        value = getattr(hc, name)
        assert isinstance(value, ModuleType) == (name in hc._ROOMS), name
        assert name == "__version__" or value.__name__.rpartition(".")[2] == name
        assert name == "__version__" or value.__doc__, name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'harmcircuits' has no attribute 'eliciit'"):
        hc.eliciit  # noqa: B018
    with pytest.raises(ImportError):
        exec("from harmcircuits import eliciit")


def test_type_checkers_see_the_same_names() -> None:
    """The block under TYPE_CHECKING names what is loaded lazily, from the same places; rooms are public as a whole."""
    tree = ast.parse(Path(hc.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == hc._WHERE | dict.fromkeys(hc._ROOMS)


def test_no_room_has_the_name_of_a_function() -> None:
    """`import harmcircuits.elicit` would put a module in the function's place, whenever it came later."""
    rooms = {module.name for module in pkgutil.iter_modules(hc.__path__)}
    assert rooms & set(hc.__all__) == set(hc._ROOMS) == {"figures", "judges", "organisms"}


def fresh(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_import_alone_loads_nothing_heavy() -> None:
    fresh(
        "import sys, harmcircuits\n"
        "assert 'dissociate' in dir(harmcircuits) and harmcircuits.__version__\n"
        "heavy = {'torch', 'transformers', 'transformer_lens', 'pandas', 'scipy', 'plotly', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )


def test_names_stay_functions_whatever_is_imported_first() -> None:
    fresh(
        "import importlib, pkgutil, types, harmcircuits as hc\n"
        "for module in pkgutil.walk_packages(hc.__path__, 'harmcircuits.'):\n"
        "    importlib.import_module(module.name)\n"
        "first = {name: getattr(hc, name) for name in hc.__all__ if name not in hc._ROOMS}\n"
        "assert not any(isinstance(value, types.ModuleType) for value in first.values())\n"
        "for module in pkgutil.walk_packages(hc.__path__, 'harmcircuits.'):\n"
        "    importlib.reload(importlib.import_module(module.name)) if module.name.endswith('elicitation') else None\n"
        "assert all(getattr(hc, name) is value for name, value in first.items())\n"
        "from harmcircuits import *\n"
        "assert elicit is first['elicit'] and dissociate is first['dissociate']\n"
    )
