"""Reading what others measured: the one file of a data set in a folder, group by group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

BATCH_ROWS: Final = 65_536
NAMES: Final = (pa.string(), pa.large_string())  # types of a column of names; pandas and polars write the second


class UnreadableData(Exception):
    """A folder or a file that is not what it should be, and why."""


def find_file(folder: Path, pattern: str) -> Path:
    """The one file of `folder` whose name fits `pattern`."""
    found = sorted(folder.glob(pattern))
    if len(found) == 1:
        return found[0]
    problem = f"{len(found)} files fit, and one is wanted" if found else "there is no such file"
    raise UnreadableData(f"{folder / pattern}: {problem}")


def columns_of(path: Path, wanted: Sequence[str]) -> frozenset[str]:
    """All columns of a file; those that are `wanted` have to be among them."""
    try:
        names = frozenset(pq.read_schema(path).names)
    except (OSError, pa.ArrowInvalid) as error:
        raise UnreadableData(f"{path}: not a Parquet file: {error}") from error
    if missing := [name for name in wanted if name not in names]:
        raise UnreadableData(f"{path}: without the columns {', '.join(missing)}")
    return names


def groups_of(path: Path, column: str) -> list[str]:
    """The distinct values of a column of names, in the order in which they come first."""
    kind = pq.read_schema(path).field(column).type
    if (kind.value_type if pa.types.is_dictionary(kind) else kind) not in NAMES:
        raise UnreadableData(f"{path}: {column} is {kind}, and names are wanted")
    seen: dict[str, None] = {}
    try:
        for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=[column]):
            seen.update(dict.fromkeys(pc.unique(batch.column(0).cast(pa.string())).to_pylist()))
    except (OSError, pa.ArrowException) as error:
        raise UnreadableData(f"{path}: {column}: {error}") from error
    if None in seen:
        raise UnreadableData(f"{path}: a row without {column}")
    return list(seen)


def read_groups(path: Path, column: str, names: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each group by minute, one group in memory at a time."""
    minute = pq.read_schema(path).field("minute").type
    if not (pa.types.is_integer(minute) or pa.types.is_floating(minute)):
        raise UnreadableData(f"{path}: minute is {minute}, and numbers are wanted")
    for group in groups_of(path, column):
        is_of_group = pc.field(column) == group
        try:
            table = pq.read_table(path, columns=list(names), filters=is_of_group).sort_by("minute")
        except (OSError, pa.ArrowException) as error:
            raise UnreadableData(f"{path}: {error}") from error
        yield group, table


def numbers(path: Path, table: pa.Table, name: str) -> NDArray[np.float32]:
    """A column of a table; what is null or not finite is NaN."""
    try:
        values = table.column(name).cast(pa.float32()).to_numpy().copy()
    except pa.ArrowException as error:
        raise UnreadableData(f"{path}: {name}: {error}") from error
    values[~np.isfinite(values)] = np.nan
    return np.asarray(values)


def whole_numbers(path: Path, table: pa.Table, name: str) -> NDArray[np.int64]:
    """A column of a table in which nothing may be null."""
    column = table.column(name)
    if column.null_count:
        raise UnreadableData(f"{path}: {name}: {column.null_count} are null")
    try:
        return np.asarray(column.cast(pa.int64()).to_numpy())
    except pa.ArrowException as error:
        raise UnreadableData(f"{path}: {name}: {error}") from error
