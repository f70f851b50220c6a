"""Measure readings under conditions: `Outcomes`, one tidy frame, and the content-addressed `Cache` that it is kept in.

An entry of the cache is named by a digest of all that its values depend on: the model (weights, configuration, tokenizer), the
condition, the reading with its prompts, and what measures (the package's sources and data, the libraries below it). A stopped
run continues, and what two claims share is measured once. Numbers lie in the run's folder; entries with token ids of what a
model wrote lie in the user's cache folder and never travel with a run.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import cache as memoised
from functools import cached_property, reduce
from hashlib import sha256
from importlib.metadata import version
from math import nan
from operator import add
from pathlib import Path
from traceback import format_tb
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from tqdm.auto import tqdm

from .. import store
from ..ablation.ablate import BASELINE, Condition
from ..data import Prompt, chat_frame
from ..errors import HarmcircuitsError, one_line
from ..judges import Judge
from ..judges.rules import read_outcomes
from ..models.model_key import model_key
from ..models.protocol import HookedModel, has_hooks, tokenizer_of
from ..readings.reading import Reading, reading_key
from ..store import as_frame, as_plain

log = logging.getLogger(__name__)
LIBRARIES = ("torch", "transformer-lens", "transformers")
AFTER = ("claims", "cli", "experiment", "figures", "report", "statistics")
"""Folders whose code may change while what was measured stays."""
FORMAT = "harmcircuits cache 2"
COLUMNS = ["condition", "measure", "item", "value"]
TEXTS = "response_ids"
TEXT_COLUMNS = ["condition", "reading", "item", TEXTS]
Part = TypeVar("Part")


@memoised
def code_digest() -> str:
    """Return the SHA-256 of libraries, sources and data, without folders that only work with measured values (`AFTER`)."""
    root = Path(__file__).parent.parent
    total = sha256(repr([(library, version(library)) for library in LIBRARIES]).encode())
    for path in sorted(path for kind in ("*.py", "*.jsonl") for path in root.rglob(kind)):
        place = path.relative_to(root)
        if place.parts[0] not in AFTER:
            total.update(str(place).encode() + path.read_bytes())
    return total.hexdigest()[:16]


@dataclass(frozen=True)
class Cache:
    """Entries of one model; without folders, nothing is kept. A damaged entry is named in the log and made anew.

    Attributes:
        key: of the model and the code.
        numbers, texts: folders of numbers, and of token ids.

    >>> Cache().frame("loss", {"seed": 0}, lambda: pd.DataFrame({"nll": [0.5]}))["nll"].tolist()
    [0.5]
    """

    key: object = None
    numbers: Path | None = None
    texts: Path | None = None

    @classmethod
    def at(cls, model: HookedModel, folder: str | Path | None) -> "Cache":
        """Open the cache of `model` in `folder`; an empty one without a folder, or under hooks of the user's."""
        if folder is None:
            return cls()
        if has_hooks(model):
            log.warning("hooks are set on the model: nothing of this run is read from %s or kept there", folder)
            return cls()
        key = [model_key(model), type(model).__name__, chat_frame(model).stops, code_digest()]
        return cls(key, Path(folder) / "cache", store.cache_dir() / "written")

    def frame(self, name: str, about: object, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return the frame of `about`, made on the first call. One with token ids is kept apart from those of numbers alone."""
        file = f"{name}-{self._digest(name, about)}.json"
        places = [folder / file for folder in (self.numbers, self.texts) if folder is not None]
        for place in places:
            if (frame := _loaded(place, _read_table)) is not None:
                return frame
        frame = as_frame(as_plain(make()))
        if places:
            _write_table(places[1 if TEXTS in frame else 0], frame)
        return frame

    def file(
        self,
        name: str,
        about: object,
        make: Callable[[], Part],
        *,
        load: Callable[[Path], Part],
        save: Callable[[Part, Path], None],
    ) -> Part:
        """Return the object of `about`, made on the first call; `save` writes it into a safetensors file, `load` reads it."""
        if self.numbers is None:
            return make()
        path = self.numbers / f"{name}-{self._digest(name, about)}.safetensors"
        part = _loaded(path, load)
        if part is None:
            part = make()
            save(part, path)
        return part

    def _digest(self, name: str, about: object) -> str:
        return store.digest([FORMAT, name, self.key, about])[:24]


def _write_table(path: Path, frame: pd.DataFrame) -> None:
    table = as_plain(frame)
    store.write_json(path, {"digest": store.digest([path.name, table]), "table": table})


def _read_table(path: Path) -> pd.DataFrame:
    value = store.read_json(path)
    if value["digest"] != store.digest([path.name, value["table"]]):
        raise HarmcircuitsError("it was changed since it was written, or is another part")
    return as_frame(value["table"])


def _loaded(path: Path, load: Callable[[Path], Part]) -> Part | None:
    try:
        return load(path) if path.exists() else None
    except (ArithmeticError, KeyError, TypeError, RuntimeError, ValueError) as error:
        log.warning("%s is not used and made anew: %s", path, one_line(error))
        return None


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What was measured.

    Attributes:
        frame: columns `condition, measure, item, value`; an item is an index into the prompts of its reading.
        texts: token ids of what was written, `condition, reading, item, response_ids`; never in a report unless asked for.
    """

    frame: pd.DataFrame
    texts: pd.DataFrame = field(repr=False)

    def values(self, condition: str, measure: str) -> Float[np.ndarray, " item"]:
        """Return the values of one measure under one condition, in the order of items; empty where it was not measured."""
        return self._arrays.get((condition, measure), np.empty(0))

    @cached_property
    def _arrays(self) -> dict[tuple[str, str], Float[np.ndarray, " item"]]:
        groups = self.frame.sort_values("item", kind="stable").groupby(["condition", "measure"], sort=False)["value"]
        return {key: values.to_numpy(dtype=float) for key, values in groups}  # type: ignore[misc]

    def has(self, condition: str, measure: str) -> bool:
        return (condition, measure) in self._arrays

    def change(self, condition: str, measure: str) -> Float[np.ndarray, " item"]:
        """Return value under the condition − value of the baseline, item by item."""
        change: Float[np.ndarray, " item"] = self.values(condition, measure) - self.values(BASELINE, measure)
        return change

    @property
    def conditions(self) -> list[str]:
        return list(dict.fromkeys(self.frame["condition"]))

    def __add__(self, other: "Outcomes") -> "Outcomes":
        """Both, which have no condition and measure in common."""
        frames = ((self.frame, other.frame), (self.texts, other.texts))
        filled = ([frame for frame in pair if len(frame)] or pair[:1] for pair in frames)  # an empty one has no types
        return Outcomes(*(pd.concat(pair, ignore_index=True) for pair in filled))


def measure(
    model: HookedModel | Callable[[], HookedModel],
    conditions: Mapping[Condition, Sequence[Reading]] | Sequence[Condition],
    readings: Sequence[Reading] = (),
    *,
    cache: Cache | str | Path | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Outcomes:
    """Measure every reading under every condition.

        with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
            measure(partial(hc.load_model, "path/to/folder"), conditions, readings, cache="out", executor=pool)

    Args:
        model: a model, or a function that loads it.
        conditions: a sequence, all of which take `readings`; or a mapping from each to readings of its own.
        readings: see `conditions`.
        cache: a folder: what was measured before is read from it, and a run that was stopped continues with the next entry.
        executor: of `concurrent.futures`, or anything with its `submit`: a job is one condition. It loads the model with the
            function `model`, which is pickled, and writes into the same cache.

    Returns:
        Outcomes, one row a condition, measure and item.

    Raises:
        HarmcircuitsError: an executor with a loaded model or an open cache, which cannot be sent to another machine.
    """
    plan = dict(conditions) if isinstance(conditions, Mapping) else dict.fromkeys(conditions, readings)
    if executor is not None and plan:
        return _measure_elsewhere(executor, model, plan, cache, progress=progress)
    loaded: HookedModel = model if isinstance(model, torch.nn.Module) else model()  # type: ignore[assignment, call-arg]
    opened = cache if isinstance(cache, Cache) else Cache.at(loaded, cache)
    numbers, texts = [pd.DataFrame(columns=COLUMNS)], [pd.DataFrame(columns=TEXT_COLUMNS)]
    pairs = [(condition, reading) for condition, taken in plan.items() for reading in taken]
    bar = tqdm(pairs, "measure", disable=not progress)
    for condition, reading in bar:
        bar.set_postfix_str(f"{condition.name}, {reading.name}")
        about = [condition.key, reading_key(reading)]
        keeper = Cache() if condition.key is None else opened  # hooks without a label: nothing says what they do
        frame = keeper.frame(reading.name, about, lambda c=condition, r=reading: r.read(loaded, c))  # type: ignore[misc]
        if TEXTS in frame:
            texts.append(frame[["item", TEXTS]].assign(condition=condition.name, reading=reading.name))
            frame = frame.drop(columns=TEXTS)
        long = frame.melt("item", var_name="measure", value_name="value")
        numbers.append(long.assign(condition=condition.name)[COLUMNS])
    return Outcomes(*(pd.concat(frames[1:] or frames, ignore_index=True) for frames in (numbers, texts)))


def _measure_elsewhere(
    executor: Executor, model: Any, plan: Mapping[Condition, Sequence[Reading]], cache: Any, *, progress: bool
) -> Outcomes:
    """One job a condition, in the order of the plan."""
    if isinstance(model, torch.nn.Module) or isinstance(cache, Cache):
        cure = 'functools.partial(hc.load_model, "path/to/folder") as the model, and a folder as the cache'
        raise HarmcircuitsError(f"a loaded model and an open cache cannot be sent to an executor: give {cure}")
    folder = None if cache is None else Path(cache).absolute()
    jobs = [executor.submit(measure, model, {condition: taken}, cache=folder) for condition, taken in plan.items()]
    parts = [job.result() for job in tqdm(jobs, "measure", disable=not progress)]
    return reduce(add, parts)


def judged(model: HookedModel, written: Sequence[Prompt], outcomes: Outcomes, judge: Judge) -> Outcomes:
    """Return what a judge says of the texts written greedily after the prefill: `complied_judged`, `refused_judged`.

    A text without a score is nan, and so is a benign one before a judge of harm: complying with it harms nobody. A judge that
    fails costs its own numbers, not the run; of an error that is not its own the type alone is logged: it may quote a text.
    """
    decode = tokenizer_of(model).decode
    texts = outcomes.texts[outcomes.texts["reading"] == "compliance"]
    rows: list[tuple[object, str, int, float]] = []
    for condition, answers in texts.groupby("condition", sort=False):
        prompts = {item: written[item] for item in answers["item"]}
        responses = {
            item: decode([int(token) for token in ids.split()], skip_special_tokens=True)
            for item, ids in zip(answers["item"], answers[TEXTS], strict=True)
            if judge.measures != "harm" or prompts[item].role == "harmful"
        }
        try:
            labels = read_outcomes([prompts[item].request for item in responses], [*responses.values()], judge=judge)
        except Exception as error:
            about = (
                error
                if isinstance(error, HarmcircuitsError)
                else "\n".join([type(error).__name__, *format_tb(error.__traceback__)])
            )
            log.error("the judge failed on %s: %s", condition, about)
            continue
        outcome = dict(zip(responses, labels, strict=True))
        rows += [
            (condition, f"{name}_judged", item, float(outcome[item] == name) if outcome.get(item) else nan)
            for item in prompts
            for name in ("complied", "refused")
        ]
    return Outcomes(pd.DataFrame(rows, columns=COLUMNS), outcomes.texts[:0])
