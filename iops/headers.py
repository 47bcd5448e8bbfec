"""What every answer tells a browser: guess no type, keep no copy, run and frame nothing that is not ours."""

from collections.abc import Sequence
from typing import Final

Header = tuple[bytes, bytes]

COMMON: Final[Sequence[Header]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
POLICY: Final = b"content-security-policy"
DATA_POLICY: Final = b"default-src 'none'; frame-ancestors 'none'"  # of what is no page
PAGE_POLICY: Final = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
# A year. Other hosts of the domain are not ours to bind, so without includeSubDomains.
HTTPS_ONLY: Final[Header] = (b"strict-transport-security", b"max-age=31536000")


class AnswerHeaders:
    """Adds what an answer does not say itself."""

    def __init__(self, public_url: str = "") -> None:
        """`public_url` is where people come in; only where it is https may a browser be told to keep to https."""
        common = (*COMMON, HTTPS_ONLY) if public_url.lower().startswith("https://") else tuple(COMMON)
        self._of_data = (*common, (POLICY, DATA_POLICY))
        self._of_pages = (*common, (POLICY, PAGE_POLICY))
        self._names = frozenset(name for name, _ in self._of_data)

    def complete(self, headers: Sequence[Header], *marks: Header) -> list[Header]:
        """`headers` (names in lower case, as ASGI has them), then `marks`, then what is missing."""
        said = dict(headers)
        is_page = said.get(b"content-type", b"").startswith((b"text/html", b"application/xhtml"))
        ours = self._of_pages if is_page else self._of_data
        if self._names.isdisjoint(said):  # nearly every answer
            return [*headers, *marks, *ours]
        return [*headers, *marks, *(header for header in ours if header[0] not in said)]
