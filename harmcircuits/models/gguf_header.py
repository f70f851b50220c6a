"""The header of a GGUF file, read without believing it: a length that is a lie would be waited for, or allocated.

GGUF · version · number of tensors · number of fields · fields (key, kind, value) · tensors (name, dimensions, kind, place)
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO, TypeAlias

_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Of a number, by its kind."""
_STRING, _ARRAY = 8, 9
_DIMENSIONS = 4
"""Of a tensor, at most: the format has no more."""
_SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8
"""Bytes that name a tensor: a name of one letter, one dimension, kind and offset."""


@dataclass(frozen=True)
class Listed:
    """A list of so many values, which are not kept."""

    length: int


Field: TypeAlias = int | str | Listed
"""Of a number, its bits as a whole number: what is no whole number is not read here."""


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        fields: by key.
        tensors: how many numbers each holds, by name.
    """

    fields: Mapping[str, Field] = field(default_factory=dict)
    tensors: Mapping[str, int] = field(default_factory=dict)


def check_header(path: Path) -> Header:
    """The header, once it is sure that all lengths in it lie within the file, and that there are no more layers than tensors.
    An empty one of a file that was written for the other order of bytes: whoever reads that knows.

    Raises:
        ValueError: they do not; the message says where.
    """
    with path.open("rb") as file:
        header = _Reader(file, os.fstat(file.fileno()).st_size)
        header.skip(4)
        if header.number(4) & 0xFFFF == 0:
            return Header()
        tensors, fields = header.number(8), header.number(8)
        found: dict[str, Field] = {}
        for _ in range(fields):
            key = header.text()
            found[key] = value = header.value()
            if key.endswith(".block_count") and isinstance(value, int) and value > tensors:
                raise ValueError(f"it claims {value} layers and holds {tensors} tensors")
        if tensors * _SMALLEST_TENSOR > header.left:
            raise ValueError(f"it claims {tensors} tensors, which its {header.size} bytes cannot hold")
        return Header(found, dict(header.tensor() for _ in range(tensors)))


@dataclass
class _Reader:
    file: BinaryIO
    size: int

    @property
    def left(self) -> int:
        return self.size - self.file.tell()

    def skip(self, n: int) -> None:
        if n > self.left:
            raise ValueError(f"its header is cut short or damaged: {n} bytes are announced at byte {self.file.tell()}")
        self.file.seek(n, os.SEEK_CUR)

    def number(self, n: int) -> int:
        start = self.file.tell()
        self.skip(n)
        self.file.seek(start)
        return int.from_bytes(self.file.read(n), "little")

    def text(self) -> str:
        length = self.number(8)
        start = self.file.tell()
        self.skip(length)
        self.file.seek(start)
        return self.file.read(length).decode("utf-8", "replace")

    def value(self) -> Field:
        kind = self.number(4)
        if kind in _BYTES:
            return self.number(_BYTES[kind])
        if kind == _STRING:
            return self.text()
        if kind == _ARRAY:
            return self._array(self.number(4), self.number(8))
        raise ValueError(f"its header has a value of the unknown kind {kind} before byte {self.file.tell()}")

    def tensor(self) -> tuple[str, int]:
        """Its name, and how many numbers it holds."""
        name, dimensions = self.text(), self.number(4)
        if dimensions > _DIMENSIONS:
            raise ValueError(f"its header has a tensor of {dimensions} dimensions before byte {self.file.tell()}")
        size = prod(self.number(8) for _ in range(dimensions))
        self.skip(4 + 8)
        return name, size

    def _array(self, kind: int, length: int) -> Listed:
        if kind in _BYTES:
            self.skip(_BYTES[kind] * length)
        elif kind == _STRING and 8 * length <= self.left:
            for _ in range(length):
                self.skip(self.number(8))
        else:
            raise ValueError(f"its header has a list of {length} values of kind {kind} at byte {self.file.tell()}")
        return Listed(length)
