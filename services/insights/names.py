"""Which streams and devices a text speaks of, and which of them are in the evidence."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from iops.insight import Evidence

NAME_LIMIT: Final = 200  # characters, as long as a stream's id may be
LABELS_TOLD: Final = 8
TOKEN: Final = re.compile(r"[^\W_][\w.:@+=-]*")
DIGITS: Final = re.compile(r"\d+")
DEVICE: Final = re.compile(
    r"nvme\d+(n\d+)?(p\d+)?|(sd|vd|xvd|hd)[a-z]{1,2}\d*|dm-\d+|md\d+|loop\d+|vol-[0-9a-f]+|mmcblk\d+\w*", re.IGNORECASE
)
HOST: Final = re.compile(r"[a-z]{2,}-\d+(?:\.[\w.-]+)?", re.IGNORECASE)  # db-9, db-9.example
NO_HOST: Final = re.compile(r"(?:top|raid|level|tier|step|phase|layer|type|class|us|eu|ap)-\d+", re.IGNORECASE)
INSTANT: Final = re.compile(r"[\d:.+-]+t[\d:.+-]+z?")  # figures look at those
NUMBER: Final = re.compile(r"[\d.,:+-]+\s*[a-z%/]{0,5}", re.IGNORECASE)  # what a label may not pass as a name


def plain(text: str, limit: int = NAME_LIMIT) -> str:
    """One line of other people's text: no control, format or bidirectional characters, digits and letters as usual.

    >>> plain("a\\u202e b\\x00\\n c\\uff14")
    'a b c4'
    """
    folded = " ".join(unicodedata.normalize("NFKC", text[: 4 * limit]).split())
    kept = "".join(character for character in folded if character.isprintable())
    return " ".join(kept.split())[:limit]


def names_of(evidence: Evidence) -> set[str]:
    """Every name that the evidence has, whole and in parts, in small letters."""
    streams = _streams(evidence)
    labels = [plain(label) for _, label in sorted(evidence.labels.items())[:LABELS_TOLD]]
    labels = [label for label in labels if " " not in label]  # a sentence is no name: its numbers are not ours
    parts = [part for stream in streams for part in _parts(stream)]
    names = {name.casefold() for name in (*streams, *parts, *labels)}
    facts = {fact.name.casefold() for fact in evidence.facts}
    return {name for name in names | facts if any(map(str.isalpha, name)) and not NUMBER.fullmatch(name)}


def without_names(text: str, names: set[str]) -> str:
    """The text with each of the names, where it stands whole, cut out."""
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    if not known:
        return text
    return re.sub(rf"(?<![\w@+=-])(?<!\w[.:])(?:{known})(?![\w@+=-]|[.:]\w)", " ; ", text, flags=re.IGNORECASE)


def strange_names(text: str, evidence: Evidence) -> list[str]:
    """What reads like a stream or a device and is not in the evidence; `text` may have been freed of its names."""
    known = {token.casefold() for name in (*_streams(evidence), *names_of(evidence)) for token in TOKEN.findall(name)}
    shapes = {DIGITS.sub("0", name) for stream in _streams(evidence) for name in (stream.casefold(), *_parts(stream))}
    shapes = {shape for shape in shapes if "0" in shape and any(map(str.isalpha, shape))}
    tokens = [token.rstrip(".:-+=@") for token in TOKEN.findall(text)]
    return [token for token in tokens if _is_strange(token.casefold(), known, shapes)]


def _is_strange(token: str, known: set[str], shapes: set[str]) -> bool:
    if token in known or INSTANT.fullmatch(token):
        return False
    if any(name.startswith(f"{token}n") for name in known if token.startswith("nvme")):
        return False  # nvme0 is the controller of nvme0n1
    host, colon, device = token.partition(":")
    if colon and any(map(str.isalpha, device)):
        return True
    if HOST.fullmatch(token) and not NO_HOST.fullmatch(token):
        return True
    return any(DEVICE.fullmatch(part) or DIGITS.sub("0", part) in shapes for part in (token, host))


def _streams(evidence: Evidence) -> list[str]:
    names = (evidence.stream_id, evidence.peer_group, *(neighbour.stream_id for neighbour in evidence.neighbours))
    return [plain(name) for name in names]


def _parts(stream_id: str) -> list[str]:
    """Host and device, and the host without its domain."""
    parts = stream_id.casefold().split(":")
    return [part for part in (*parts, parts[0].partition(".")[0]) if part]
