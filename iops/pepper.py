"""What keys are hashed with, so that the table alone tells nobody anything."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pepper:
    """32 random bytes and their name."""

    id: str
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Peppers:
    """The last one is current; what was hashed with an older one still verifies."""

    all: tuple[Pepper, ...]

    @property
    def current(self) -> Pepper:
        """What new keys are hashed with."""
        return self.all[-1]

    def of(self, pepper_id: str) -> Pepper | None:
        """The one of that name; None where it was rotated away."""
        return next((pepper for pepper in self.all if pepper.id == pepper_id), None)
