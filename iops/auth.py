"""Who asks, what they may do, and which streams are theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from iops.telemetry import default_peer_group

EVERY_STREAM: Final = "*"
PATTERNS_LIMIT: Final = 20  # each is a condition in DynamoDB's filter of a list

# A stream's id, or how ids begin with `*` behind it.
StreamPattern = Annotated[str, Field(max_length=200, pattern=r"^([A-Za-z0-9][A-Za-z0-9._:@+=-]*\*?|\*)$")]


class Role(StrEnum):
    """What somebody is here for."""

    AGENT = "agent"  # sends telemetry, and reads nothing
    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # also acts on alerts and insights
    ADMIN = "admin"  # also makes keys and reads who did what; may all


INCLUDES: Final[Mapping[Role, frozenset[Role]]] = {
    Role.AGENT: frozenset({Role.AGENT}),
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who proved who they are. `streams` are patterns; what none of them fits does not exist for them.

    >>> web = Caller("web-fleet", Role.AGENT, ("web-*", "db-1:sda"))
    >>> web.may_see("web-1:sda"), web.may_see("db-1:sda"), web.may_see("db-1:sdb")
    (True, True, False)
    >>> web.may(Role.AGENT), web.may(Role.VIEWER)
    (True, False)
    """

    name: str  # as histories and logs show it
    role: Role
    streams: tuple[str, ...] = (EVERY_STREAM,)
    sees_all: bool = field(init=False, repr=False, compare=False)
    _beginnings: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _ids: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sees_all", EVERY_STREAM in self.streams)
        beginnings = tuple(pattern[:-1] for pattern in self.streams if pattern.endswith("*"))
        object.__setattr__(self, "_beginnings", beginnings)
        object.__setattr__(self, "_ids", frozenset(self.streams))

    def may(self, role: Role) -> bool:
        """Whether what asks for `role` is allowed."""
        return role in INCLUDES[self.role]

    def may_see(self, stream_id: str) -> bool:
        """Whether the stream is theirs, to write or to read as the role says."""
        return self.sees_all or stream_id.startswith(self._beginnings) or stream_id in self._ids

    def may_give(self, role: Role, streams: Iterable[str]) -> bool:
        """Whether a key with this role and these patterns could do nothing that they may not do themselves.

        >>> web = Caller("web-admin", Role.ADMIN, ("web-*",))
        >>> web.may_give(Role.AGENT, ["web-1*", "web-2:sda"]), web.may_give(Role.AGENT, ["*"])
        (True, False)
        """
        return INCLUDES[role] <= INCLUDES[self.role] and all(map(self._covers, streams))

    def _covers(self, pattern: str) -> bool:
        if pattern.endswith("*"):
            return self.sees_all or pattern[:-1].startswith(self._beginnings)
        return self.may_see(pattern)

    def may_join(self, stream_id: str, peer_group: str) -> bool:
        """Whether they may write the stream into the group: into its own host's, or one whose name is theirs too.

        A stream in a foreign group would be what that group's disks are judged by.

        >>> web = Caller("web-fleet", Role.AGENT, ("web-*",))
        >>> web.may_join("web-1:sda", "web-1"), web.may_join("web-1:sda", "web-raid"), web.may_join("web-1:sda", "db-1")
        (True, True, False)
        """
        if self.sees_all:
            return True
        return self.may_see(stream_id) and (peer_group == default_peer_group(stream_id) or self.may_see(peer_group))
