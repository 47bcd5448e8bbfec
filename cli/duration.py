"""How long something lasts, as a person types it."""

import re
from typing import Final

from cli.outcome import Misused

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")


def parse_duration_s(text: str) -> int:
    """Seconds of `30m`, `2h` or `7d`; raises Misused for anything else.

    >>> parse_duration_s("90s"), parse_duration_s("30m"), parse_duration_s("2h"), parse_duration_s("7d")
    (90, 1800, 7200, 604800)
    """
    found = DURATION.fullmatch(text.strip())
    if found is None:
        raise Misused(f"{text!r} is no duration; say 30m, 2h or 7d")
    return int(found[1]) * UNITS_S[found[2]]
