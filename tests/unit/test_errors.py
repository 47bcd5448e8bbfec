"""The tree of errors, as its head draws it."""

import re

from iops import errors
from iops.errors import InvalidInput, IopsError, Problem


def all_below(kind: type[IopsError]) -> list[type[IopsError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in all_below(child))]


def ours() -> list[type[IopsError]]:
    return [kind for kind in all_below(IopsError) if kind.__module__ == "iops.errors"]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in ours()]

    assert len(codes) == len(set(codes))
    assert all(re.fullmatch("[a-z_]+", code) for code in codes)


def test_the_drawing_names_every_error_with_its_code() -> None:
    drawn = errors.__doc__ or ""

    for kind in ours():
        (line,) = (line for line in drawn.splitlines() if re.search(rf"\b{kind.__name__}\b", line))
        if kind.__name__ != "Unavailable":
            assert re.search(rf"\b{kind.code}\b", line), kind


def test_the_drawing_has_the_status_of_each_that_says_one() -> None:
    for name, status in re.findall(r"(\w+) +(\d{3})\b", errors.__doc__ or ""):
        assert getattr(errors, name).status == int(status)


def test_an_invalid_input_says_how_much_more_there_is() -> None:
    first = Problem("samples[0].at", "is bad")

    assert InvalidInput([first]).detail == "samples[0].at: is bad"
    assert InvalidInput([first, first]).detail == "samples[0].at: is bad (and 1 more)"
    assert InvalidInput([first], total=30).detail == "samples[0].at: is bad (and 29 more)"
