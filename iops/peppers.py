"""The peppers that API keys are hashed with: the last one is current, older ones still verify."""

import binascii
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from iops.secret_document import SecretDocument

VALUE_BYTES: Final = 32
KEPT: Final = 3  # peppers after a rotation; keys of older ones are no longer known
RandomBytes = Callable[[int], bytes]  # secrets.token_bytes


@dataclass(frozen=True, slots=True)
class Pepper:
    """`value` is 32 bytes."""

    id: str
    value: bytes = field(repr=False)


class PepperEntry(SecretDocument):
    """A pepper as the document has it."""

    id: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    value: SecretStr = Field(description="32 bytes in base64url")

    @field_validator("value")
    @classmethod
    def _has_its_length(cls, value: SecretStr) -> SecretStr:
        if len(_decode(value)) != VALUE_BYTES:
            raise ValueError(f"it has to be {VALUE_BYTES} bytes in base64url")
        return value


class Peppers(SecretDocument):
    """The document `iops-dashboard/peppers`."""

    peppers: tuple[PepperEntry, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        if len({each.id for each in self.peppers}) < len(self.peppers):
            raise ValueError("each pepper needs an id of its own")
        return self

    @property
    def current(self) -> Pepper:
        """The one that new keys are hashed with."""
        return self._by_id[self.peppers[-1].id]

    def of(self, pepper_id: str) -> Pepper | None:
        """None where it has been rotated away, or never was."""
        return self._by_id.get(pepper_id)

    def reveal(self) -> dict[str, Any]:
        """As it is to be stored, with its values."""
        return {"peppers": [{"id": each.id, "value": each.value.get_secret_value()} for each in self.peppers]}

    @cached_property
    def _by_id(self) -> dict[str, Pepper]:
        return {each.id: Pepper(each.id, _decode(each.value)) for each in self.peppers}


def first_peppers(now: datetime, random_bytes: RandomBytes) -> Peppers:
    """A document with one new pepper."""
    return Peppers(peppers=(_new_entry(now, random_bytes),))


def add_pepper(peppers: Peppers, now: datetime, random_bytes: RandomBytes) -> Peppers:
    """A rotation: a new one at the end, and of all the last three."""
    return Peppers(peppers=(*peppers.peppers, _new_entry(now, random_bytes))[-KEPT:])


def _new_entry(now: datetime, random_bytes: RandomBytes) -> PepperEntry:
    pepper_id = f"{now:%Y-%m}-{random_bytes(3).hex()}"
    return PepperEntry(id=pepper_id, value=SecretStr(urlsafe_b64encode(random_bytes(VALUE_BYTES)).decode()))


def _decode(value: SecretStr) -> bytes:
    """Nothing where it is no base64url."""
    text = value.get_secret_value().rstrip("=")
    try:
        return b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
