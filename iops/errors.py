"""Everything that can go wrong, as one tree.

IopsError                  500 internal
├── MalformedBody          400 malformed_body      not JSON, not gzip, ends early
├── InvalidCursor          400 invalid_cursor
├── InvalidQuery           400 invalid_query
├── ExpiredCode            400 expired_token       a machine's code for signing in: unknown, over, or used
├── Unauthenticated        401 unauthenticated     no key, or one that does not hold
├── Forbidden              403 forbidden           known, but not for this
├── NotFound               404 not_found
├── SlowBody               408 slow_body           the body stopped half-way
├── Conflict               409 conflict            somebody else was faster
├── BodyTooLarge           413 body_too_large
├── UnknownEncoding        415 unknown_encoding    neither plain nor gzip
├── InvalidInput           422 invalid_input       names each field and its index
├── QueryRefused           422 query_refused       PromQL that is not served, or asks for too much
├── AuthorizationPending   428 authorization_pending  nobody has approved the machine yet
├── Unavailable            503                     come again after `retry_after_s`
│   ├── TableUnavailable       table_unavailable
│   ├── BusUnavailable         bus_unavailable
│   ├── QueueFull              queue_full
│   ├── IdentityUnavailable    identity_unavailable  who signs people's tokens cannot be read
│   └── RateExceeded       429 rate_exceeded         one stream or caller sends more than it may
│       └── SlowDown       429 slow_down             a machine asks more often than it was told to
├── UnusableFile               unusable_file       a secret's file that is missing, or that others can read
└── DamagedChunk           500 damaged_chunk       names the key
    ├── DamagedRow             damaged_row         or of a newer program
    ├── DamagedRollup          damaged_rollup
    └── DamagedProfile         damaged_profile
"""

from dataclasses import dataclass
from typing import ClassVar


class IopsError(Exception):
    """An expected failure: what it is to a program (code), to HTTP (status) and to a person (detail)."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something broke on our side"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.told = detail  # to callers; something else where the detail names what is behind us

    def forget_frames(self) -> None:
        """Lets go of the frames it passed: a future, a group or a local that holds it would keep a whole body."""
        self.__traceback__ = self.__cause__ = self.__context__ = None


class MalformedBody(IopsError):
    status = 400
    code = "malformed_body"
    title = "The body cannot be read"


class InvalidCursor(IopsError):
    status = 400
    code = "invalid_cursor"
    title = "The list cannot go on from there"


class InvalidQuery(IopsError):
    status = 400
    code = "invalid_query"
    title = "The request's parameters cannot be used"


class ExpiredCode(IopsError):
    status = 400
    code = "expired_token"
    title = "The code does not hold"


class Unauthenticated(IopsError):
    status = 401
    code = "unauthenticated"
    title = "Who is asking?"


class Forbidden(IopsError):
    status = 403
    code = "forbidden"
    title = "That is not yours to do"


class NotFound(IopsError):
    status = 404
    code = "not_found"
    title = "There is no such thing"


class SlowBody(IopsError):
    status = 408
    code = "slow_body"
    title = "The body did not arrive in time"


class Conflict(IopsError):
    """A conditional write lost: read again, then decide again."""

    status = 409
    code = "conflict"
    title = "Somebody else changed this first"


class BodyTooLarge(IopsError):
    status = 413
    code = "body_too_large"
    title = "The body is too large"


class UnknownEncoding(IopsError):
    status = 415
    code = "unknown_encoding"
    title = "The body's encoding is unknown"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: where (`batches[0].samples[3].read_iops`) and what."""

    field: str
    message: str


class InvalidInput(IopsError):
    status = 422
    code = "invalid_input"
    title = "The input breaks the contract"

    def __init__(self, problems: list[Problem], *, total: int | None = None) -> None:
        """`problems` may be the first few of `total`."""
        self.problems = problems
        count = len(problems) if total is None else total
        more = f" (and {count - 1} more)" if count > 1 else ""
        super().__init__(f"{problems[0].field}: {problems[0].message}{more}")


class QueryRefused(IopsError):
    status = 422
    code = "query_refused"
    title = "That is not served"


class AuthorizationPending(IopsError):
    status = 428
    code = "authorization_pending"
    title = "Nobody has approved it yet"


class Unavailable(IopsError):
    """Nothing was lost: the sender still has it and should come again."""

    status = 503
    code = "unavailable"
    title = "Not now; come again"

    def __init__(self, detail: str, *, retry_after_s: int = 2) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class TableUnavailable(Unavailable):
    code = "table_unavailable"


class BusUnavailable(Unavailable):
    code = "bus_unavailable"


class QueueFull(Unavailable):
    code = "queue_full"


class IdentityUnavailable(Unavailable):
    code = "identity_unavailable"


class RateExceeded(Unavailable):
    status = 429
    code = "rate_exceeded"
    title = "Too much at once; come again"


class SlowDown(RateExceeded):
    code = "slow_down"


class UnusableFile(IopsError):
    code = "unusable_file"
    title = "A file with a secret cannot be used"


class DamagedChunk(IopsError):
    code = "damaged_chunk"
    title = "A stored chunk cannot be read"
    noun: ClassVar[str] = "chunk"

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{self.noun} {key}: {reason}")
        self.key = key


class DamagedRow(DamagedChunk):
    code = "damaged_row"
    title = "A stored row cannot be read"
    noun = "row"


class DamagedRollup(DamagedChunk):
    code = "damaged_rollup"
    title = "A stored rollup cannot be read"
    noun = "rollup"


class DamagedProfile(DamagedChunk):
    code = "damaged_profile"
    title = "What a model remembered of a stream cannot be read"
    noun = "profile"
