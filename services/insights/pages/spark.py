"""A line of numbers as a small picture that needs no script, with the same in words."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 120, 28


def spark(values: Sequence[float | None], unit: str, *, what: str = "last hour", width: int = WIDTH) -> str:
    """An SVG, oldest first; null is a gap. Its name says the smallest, the largest and the newest value."""
    known = [value for value in values if value is not None]
    if not known:
        return Markup('<span class="quiet">nothing in the {}</span>').format(what)
    name = f"{what}: {_text(min(known))} to {_text(max(known))} {unit}, newest {_text(known[-1])} {unit}"
    return Markup(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}"><title>{}</title>'
        '<path d="{}"/></svg>'
    ).format(width, HEIGHT, width, HEIGHT, name, name, path_of(values, width=width, height=HEIGHT))


def path_of(values: Sequence[float | None], *, width: int, height: int) -> str:
    """The line from 0 at the bottom to the largest value at the top; a value alone is a dot.

    >>> path_of([0.0, 10.0, None, 5.0], width=30, height=12)
    'M0 11L10 1M30 6h.1'
    """
    largest = max((value for value in values if value is not None), default=0.0) or 1.0
    step = width / max(1, len(values) - 1)
    parts: list[str] = []
    for index, value in enumerate(values):
        if value is None:
            continue
        is_begin = index == 0 or values[index - 1] is None
        is_end = index + 1 == len(values) or values[index + 1] is None
        x, y = _text(index * step), _text(height - 1 - (height - 2) * max(0.0, value) / largest)
        parts.append(f"{'M' if is_begin else 'L'}{x} {y}" + ("h.1" if is_begin and is_end else ""))
    return "".join(parts)


def _text(value: float) -> str:
    return f"{value:.3g}"
