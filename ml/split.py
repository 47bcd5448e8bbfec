"""Which hosts teach, which choose and which judge: 70, 15 and 15 in 100, by host, so that peers stay together."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray


class Part(StrEnum):
    """A host belongs to one of them, the same in every run and in every data set."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


SHARES: Final = ((Part.TRAIN, 0.70), (Part.VALIDATION, 0.85), (Part.TEST, 1.0))  # each up to here


def part_of(host: str) -> Part:
    """By the host's name alone.

    >>> [part_of(f"host-{number}").value for number in range(4)]
    ['train', 'validation', 'train', 'test']
    """
    place = int.from_bytes(hashlib.blake2b(host.encode(), digest_size=8).digest(), "big") / 2**64
    return next(part for part, share in SHARES if place < share)


def is_in(part: Part, hosts: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which of the rows are of hosts of a part."""
    names = {name: part_of(name) is part for name in np.unique(hosts).tolist()}
    return np.array([names[name] for name in hosts.tolist()], np.bool_)
