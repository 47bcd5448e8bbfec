"""What goes to the terminal: JSON, tables and single lines, with other people's text made harmless."""

import json
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH_COLUMNS = 200  # a pipe has no width; rich would fold at 80
TEXT_LIMIT = 500  # characters of one field


def plain(value: object, *, limit: int = TEXT_LIMIT) -> str:
    """A value as text that cannot command a terminal: no control, format or bidirectional characters.

    >>> plain("a\\x1b[31mb\\nc"), plain(None), plain(0.5), plain(1234.0)
    ('a[31mb c', '-', '0.5', '1,234')
    """
    if value is None:
        return "-"
    if isinstance(value, float | int) and not isinstance(value, bool):
        return number(value)
    text = " ".join(str(value)[:limit].split())
    return "".join(character for character in text if character.isprintable())


def number(value: float) -> str:
    """A number with three significant digits, or whole from 100 on.

    >>> number(0.0421), number(22.26), number(3000)
    ('0.0421', '22.3', '3,000')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def instant(value: object) -> str:
    """An ISO instant in UTC to the second.

    >>> instant("2026-11-23T02:39:00.000Z")
    '2026-11-23 02:39:00'
    """
    return plain(value)[:19].replace("T", " ")


def print_json(value: object) -> None:
    """One JSON document on standard output; control characters stay escaped."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None))


def print_line(line: str) -> None:
    """One line of plain parts on standard output at once, so that a pipe sees it when it happens."""
    print(line, flush=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output; columns whose title ends in `>` stand to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column.rstrip(">")), justify="right" if column.endswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH_COLUMNS
    console.print(table)


def complain(message: str) -> None:
    """One line on standard error."""
    print(f"iops: {plain(message)}", file=sys.stderr)


def report_progress(message: str) -> None:
    """One line on standard error, for a person only: silent when nobody is looking."""
    if sys.stderr.isatty():
        print(plain(message), file=sys.stderr)
