"""What a Parquet file says of itself, read before anything is unpacked: a small file must not fill the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_FOOTER_BYTES = 32 << 20
_MAGIC = b"PAR1"
_TAIL_BYTES = 8
_VALUE_BYTES = 16
"""What one value takes in memory at least, as a number with its null bit or as a view on a string."""


class ParquetError(ValueError):
    """A file whose footer cannot be read as Parquet's."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows that can only be unpacked together, and how many bytes their columns take then, at least."""

    rows: int
    unpacked_bytes: int


def row_groups(path: Path, columns: frozenset[str] | None = None) -> list[RowGroup]:
    """The row groups of a file, in order; bytes are counted of `columns` only (all if None), by top-level name.

    A column that repeats one value is a few bytes packed and one value per row unpacked: both are counted, by the
    larger of the two. Raises ParquetError, and OSError if the file cannot be read.
    """
    try:
        return [_row_group(group, columns) for group in _Thrift(_footer(path)).row_groups()]
    except ParquetError:
        raise
    except (IndexError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise ParquetError("its footer is damaged") from None


def _footer(path: Path) -> bytes:
    size = path.stat().st_size
    if size < len(_MAGIC) + _TAIL_BYTES:
        raise ParquetError("it is too short")
    with path.open("rb") as file:
        file.seek(size - _TAIL_BYTES)
        tail = file.read(_TAIL_BYTES)
        if tail[4:] != _MAGIC:
            raise ParquetError("it does not end as a Parquet file does: it was cut off or is something else")
        length = int.from_bytes(tail[:4], "little")
        if length > size - _TAIL_BYTES:
            raise ParquetError("its footer is longer than the file")
        if length > MAX_FOOTER_BYTES:
            raise ParquetError(f"its footer is larger than {MAX_FOOTER_BYTES >> 20} MiB (too many row groups)")
        file.seek(size - _TAIL_BYTES - length)
        return file.read(length)


def _row_group(group: dict[int, Any], columns: frozenset[str] | None) -> RowGroup:
    total, rows = 0, int(group[3])
    for column in group[1]:
        meta = column[3]
        if columns is None or meta[3][0].decode() in columns:
            total += max(int(meta[6]), int(meta[5]) * _VALUE_BYTES)
    if rows < 0 or total < 0:
        raise ParquetError("its footer is damaged")
    return RowGroup(rows, total)


# Field numbers of parquet.thrift: which fields are kept of each structure, and what structure a field holds.
_ROW_GROUPS = 4
_KEPT: dict[str, dict[int, str]] = {
    "RowGroup": {1: "ColumnChunk", 3: ""},
    "ColumnChunk": {3: "ColumnMetaData"},
    "ColumnMetaData": {3: "", 5: "", 6: ""},
}


class _Thrift:
    """Thrift's compact protocol, as much of it as a footer needs; everything else is skipped, not built."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self._skips: dict[int, Callable[[], object]] = {
            1: lambda: None, 2: lambda: None, 3: self._byte, 4: self._varint, 5: self._varint, 6: self._varint,
            7: lambda: self._move(8), 8: self._binary, 9: self._skip_list, 10: self._skip_list, 11: self._skip_map,
            12: self._skip_struct,
        }  # fmt: skip

    def row_groups(self) -> Iterator[dict[int, Any]]:
        """The structures RowGroup of a FileMetaData, one after the other."""
        for field, kind in self._fields():
            if field == _ROW_GROUPS and kind == 9:
                size, _ = self._list_header()
                for _ in range(size):
                    yield self._struct("RowGroup")
            else:
                self._skip(kind)

    def _struct(self, name: str) -> dict[int, Any]:
        kept, found = _KEPT[name], dict[int, Any]()
        for field, kind in self._fields():
            if field in kept:
                found[field] = self._value(kind, kept[field])
            else:
                self._skip(kind)
        return found

    def _value(self, kind: int, inner: str) -> Any:
        if kind in (4, 5, 6):
            number = self._varint()
            return (number >> 1) ^ -(number & 1)
        if kind == 8:
            return self._binary()
        if kind == 9:
            size, item = self._list_header()
            return [self._value(item, inner) for _ in range(size)]
        if kind == 12 and inner:
            return self._struct(inner)
        raise ParquetError("its footer is damaged")

    def _fields(self) -> Iterator[tuple[int, int]]:
        field = 0
        while (head := self._byte()) != 0:
            if head >> 4:
                field += head >> 4
            else:
                number = self._varint()
                field = (number >> 1) ^ -(number & 1)
            yield field, head & 15

    def _skip(self, kind: int) -> None:
        if kind not in self._skips:
            raise ParquetError("its footer is damaged")
        self._skips[kind]()

    def _skip_struct(self) -> None:
        for _, kind in self._fields():
            self._skip(kind)

    def _skip_list(self) -> None:
        size, kind = self._list_header()
        for _ in range(size):
            self._skip(3 if kind in (1, 2) else kind)  # in a list a Boolean takes a byte

    def _skip_map(self) -> None:
        if size := self._varint():
            kinds = self._byte()
            for _ in range(size):
                for kind in (kinds >> 4, kinds & 15):
                    self._skip(3 if kind in (1, 2) else kind)

    def _list_header(self) -> tuple[int, int]:
        head = self._byte()
        size = head >> 4
        size = self._varint() if size == 15 else size
        if size > len(self._content) - self._at:  # every item takes a byte at least
            raise ParquetError("its footer is damaged")
        return size, head & 15

    def _binary(self) -> bytes:
        size = self._varint()
        return self._content[self._move(size) : self._at]

    def _byte(self) -> int:
        value = self._content[self._at]
        self._at += 1
        return value

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ParquetError("its footer is damaged")

    def _move(self, size: int) -> int:
        """Steps over `size` bytes; returns where they begin."""
        start = self._at
        if size > len(self._content) - start:
            raise ParquetError("its footer is damaged")
        self._at = start + size
        return start
