"""The header of a GGUF file, read without believing it: a length that is a lie would be waited for, or allocated.

GGUF · version · number of tensors · number of fields · fields (key, kind, value) · tensors
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Of a number, by its kind."""
_STRING, _ARRAY = 8, 9
_SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8
"""Bytes that name a tensor: a name of one letter, one dimension, kind and offset."""


def check_header(path: Path) -> None:
    """Makes sure that all lengths in the header lie within the file, and that there are no more layers than tensors.

    Raises:
        ValueError: they do not; the message says where.
    """
    with path.open("rb") as file:
        header = _Header(file, os.fstat(file.fileno()).st_size)
        header.skip(4)
        if header.number(4) & 0xFFFF == 0:
            return  # written for the other order of bytes: whoever reads it knows
        tensors, fields = header.number(8), header.number(8)
        for _ in range(fields):
            key = header.text()
            value = header.value()
            if key.endswith(b".block_count") and value is not None and value > tensors:
                raise ValueError(f"it claims {value} layers and holds {tensors} tensors")
        if tensors * _SMALLEST_TENSOR > header.left:
            raise ValueError(f"it claims {tensors} tensors, which its {header.size} bytes cannot hold")


@dataclass
class _Header:
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

    def text(self) -> bytes:
        length = self.number(8)
        start = self.file.tell()
        self.skip(length)
        self.file.seek(start)
        return self.file.read(length)

    def value(self) -> int | None:
        """Skips a value; of a number, its bits as a whole number."""
        kind = self.number(4)
        if kind in _BYTES:
            return self.number(_BYTES[kind])
        if kind == _STRING:
            self.skip(self.number(8))
        elif kind == _ARRAY:
            self._array(self.number(4), self.number(8))
        else:
            raise ValueError(f"its header has a value of the unknown kind {kind} before byte {self.file.tell()}")
        return None

    def _array(self, kind: int, length: int) -> None:
        if kind in _BYTES:
            self.skip(_BYTES[kind] * length)
        elif kind == _STRING and 8 * length <= self.left:
            for _ in range(length):
                self.skip(self.number(8))
        else:
            raise ValueError(f"its header has a list of {length} values of kind {kind} at byte {self.file.tell()}")
