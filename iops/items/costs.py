"""What language models cost, as rows: one a day and one a stream and month, a month in one partition.

Money is whole nano-dollars. DynamoDB adds integers of up to 38 digits exactly and compares them in a condition, so a
sum never drifts; a token of the cheapest model is 100 of them, so no price is rounded either.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from iops import contract
from iops.items.rows import Item, beginning_query, key_of

NANO: Final = 10**9  # nano-dollars in a dollar
MOST_USD: Final = 1e9  # of one amount, whatever a flag says: a number in DynamoDB has 38 digits
DAY_PREFIX: Final = "day#"
STREAM_PREFIX: Final = "stream#"
OPEN_PREFIX: Final = "open_"  # and a reservation's id: what it holds until it is settled


@dataclass(frozen=True, slots=True)
class Settled:
    """What calls came to."""

    calls: int = 0
    nano: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: "Settled") -> "Settled":
        return Settled(
            calls=self.calls + other.calls,
            nano=self.nano + other.nano,
            tokens_in=self.tokens_in + other.tokens_in,
            tokens_out=self.tokens_out + other.tokens_out,
        )


@dataclass(frozen=True, slots=True)
class DayCost:
    """What a UTC day's calls came to, and what is held for calls that are not settled, or never were."""

    day: date
    settled: Settled
    reserved_nano: int


@dataclass(frozen=True, slots=True)
class StreamCost:
    """What a month's calls about one stream came to."""

    stream_id: str
    settled: Settled


def usd_to_nano(usd: float) -> int:
    """Whole nano-dollars, the nearest; never less than none, and at most a billion dollars.

    >>> usd_to_nano(0.007), usd_to_nano(-1), usd_to_nano(1e308)
    (7000000, 0, 1000000000000000000)
    """
    return round(max(0.0, min(usd, MOST_USD)) * NANO)


def nano_to_usd(nano: int) -> float:
    """Dollars.

    >>> nano_to_usd(7000000)
    0.007
    """
    return nano / NANO


def reserve_update(day: date, reservation_id: str, *, most_nano: int, limit_nano: int) -> Item:
    """Holds `most_nano` of a day's money; the condition fails where that would be more than `limit_nano`."""
    return {
        "Key": day_key(day),
        "UpdateExpression": f"SET {OPEN_PREFIX}{reservation_id} = :most, #ttl = :ttl ADD spent_nano :most",
        "ConditionExpression": "attribute_not_exists(spent_nano) OR spent_nano <= :room",
        "ExpressionAttributeNames": {"#ttl": contract.TTL_ATTRIBUTE},
        "ExpressionAttributeValues": {
            ":most": _whole(most_nano),
            ":room": _whole(limit_nano - most_nano),
            ":ttl": _ttl(day),
        },
    }


def day_settled_update(day: date, reservation_id: str, *, most_nano: int, settled: Settled) -> Item:
    """Counts what a reserved call came to and gives back the rest; with nothing settled, gives back all.

    Holds exactly once: the reservation goes with it, so a repetition finds none, changes nothing and is a Conflict.
    """
    request = _add(day_key(day), day, settled, also={"spent_nano": settled.nano - most_nano})
    attribute = f"{OPEN_PREFIX}{reservation_id}"
    request["UpdateExpression"] = request["UpdateExpression"].replace(" ADD ", f" REMOVE {attribute} ADD ")
    request["ConditionExpression"] = f"attribute_exists({attribute})"
    return request


def day_spent_update(day: date, settled: Settled) -> Item:
    """Counts a call that needed no reservation, because it costs nothing; repeated, it counts twice."""
    return _add(day_key(day), day, settled, also={"spent_nano": settled.nano})


def stream_spent_update(day: date, stream_id: str, settled: Settled) -> Item:
    """Counts a call in its stream's month; repeated, it counts twice."""
    return _add(key_of(_month(day), STREAM_PREFIX + stream_id), day, settled, also={})


def month_costs_query(day: date) -> Item:
    """Every row of the month that `day` is in: its days, then its streams."""
    return {
        "KeyConditionExpression": "entity_id = :id",
        "ExpressionAttributeValues": {":id": {"S": _month(day)}},
    }


def month_days_query(day: date) -> Item:
    """The same without its streams, of which there may be many."""
    return beginning_query(_month(day), DAY_PREFIX, is_consistent=False)


def item_to_day_cost(item: Item) -> DayCost | None:
    """None where the row is not a day's."""
    sort_key = item[contract.SORT_KEY]["S"]
    if not sort_key.startswith(DAY_PREFIX):
        return None
    month = item[contract.PARTITION_KEY]["S"].removeprefix("cost#")
    settled = _settled(item)
    day = date.fromisoformat(f"{month}-{sort_key.removeprefix(DAY_PREFIX)}")
    return DayCost(day, settled, _number(item, "spent_nano") - settled.nano)


def item_to_stream_cost(item: Item) -> StreamCost | None:
    """None where the row is not a stream's."""
    sort_key = item[contract.SORT_KEY]["S"]
    if not sort_key.startswith(STREAM_PREFIX):
        return None
    return StreamCost(sort_key.removeprefix(STREAM_PREFIX), _settled(item))


def day_key(day: date) -> Item:
    """Where a day's row lies."""
    return key_of(_month(day), f"{DAY_PREFIX}{day:%d}")


def _month(day: date) -> str:
    return f"cost#{day:%Y-%m}"


def _ttl(day: date) -> Item:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    return _whole(int(midnight.timestamp()) + contract.COST_TTL_S)


def _add(key: Item, day: date, settled: Settled, *, also: dict[str, int]) -> Item:
    numbers = {
        "calls": settled.calls,
        "usd_nano": settled.nano,
        "tokens_in": settled.tokens_in,
        "tokens_out": settled.tokens_out,
        **also,
    }
    return {
        "Key": key,
        "UpdateExpression": "SET #ttl = :ttl ADD " + ", ".join(f"{name} :{name}" for name in numbers),
        "ExpressionAttributeNames": {"#ttl": contract.TTL_ATTRIBUTE},
        "ExpressionAttributeValues": {
            ":ttl": _ttl(day),
            **{f":{name}": _whole(value) for name, value in numbers.items()},
        },
    }


def _settled(item: Item) -> Settled:
    return Settled(
        calls=_number(item, "calls"),
        nano=_number(item, "usd_nano"),
        tokens_in=_number(item, "tokens_in"),
        tokens_out=_number(item, "tokens_out"),
    )


def _number(item: Item, name: str) -> int:
    return int(item[name]["N"]) if name in item else 0


def _whole(value: int) -> Item:
    return {"N": str(value)}
