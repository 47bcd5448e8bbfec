"""The two codes of a machine's login: one that a person types, and one that nobody guesses."""

import base64
from typing import Final

from iops.keys import RandomBytes

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"  # consonants, as RFC 8628 advises: they spell no word
LENGTH: Final = 8  # 2.6e10 codes; with 5 wrong ones a minute nobody hits one within its ten
SECRET_BYTES: Final = 32


def new_codes(random_bytes: RandomBytes) -> tuple[str, str]:
    """The user's code, and the machine's: it begins with the user's, so that one row is found by either."""
    number = int.from_bytes(random_bytes(16), "big")  # 128 bits, so that the rest of a division favours no letter
    user_code = "".join(ALPHABET[number // len(ALPHABET) ** place % len(ALPHABET)] for place in range(LENGTH))
    secret = base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).decode().rstrip("=")
    return user_code, f"{user_code}.{secret}"


def shown(user_code: str) -> str:
    """As a person reads it.

    >>> shown("BCDFGHJK")
    'BCDF-GHJK'
    """
    return f"{user_code[:4]}-{user_code[4:]}"


def typed(text: str) -> str:
    """The code as it is kept; empty where it is none.

    >>> typed(" bcdf-ghjk"), typed("BCDF GHJ"), typed("device#x")
    ('BCDFGHJK', '', '')
    """
    code = text.upper().replace("-", "").replace(" ", "")
    return code if len(code) == LENGTH and set(code) <= set(ALPHABET) else ""
