"""Rows of what people are told about: alerts with their history, pages, events on their way, silences, and timers."""

from datetime import datetime
from typing import Final

from iops import contract
from iops.alert import Alert, AlertState, Change, Event, Page, Silence, SilenceScope, Telling
from iops.clock import to_epoch_ms
from iops.items.own import ABOUT, Where
from iops.items.rows import Item, beginning_query, key_of, newer_query, number

CHANGE_PREFIX: Final = "change#"
DELIVERY_PREFIX: Final = "delivery#"
TELLING_PREFIX: Final = "told#"


def alert_put(alert: Alert) -> Item:
    """Stores an alert; holds only if its last version is still the one before."""
    item = key_of(f"alert#{alert.alert_id}", "alert") | {
        contract.TIME_KEY: number(to_epoch_ms(alert.updated_at)),
        contract.STREAM_KEY: {"S": alert.stream_id},
        "state": {"S": alert.state},
        "peer_group": {"S": alert.peer_group},
        "version": number(alert.version),
        "doc": {"S": alert.model_dump_json()},
    }
    if alert.resolved_at is not None:
        item[contract.TTL_ATTRIBUTE] = _after(alert.resolved_at, contract.ALERT_TTL_S)
    return _if_next(item, alert.version)


def item_to_alert(item: Item) -> Alert:
    """An `alert` row."""
    return Alert.model_validate_json(item["doc"]["S"])


def change_put(change: Change) -> Item:
    """A line of an alert's history; holds only if nobody wrote that line.

    What has expired counts for nothing: DynamoDB deletes it days later, and an alert of the same name begins anew.
    """
    item = key_of(f"alert#{change.alert_id}", f"{CHANGE_PREFIX}{change.version:08}") | {
        contract.TTL_ATTRIBUTE: _after(change.at, contract.ALERT_TTL_S),
        "doc": {"S": change.model_dump_json()},
    }
    return {
        "Item": item,
        "ConditionExpression": "attribute_not_exists(entity_id) OR #ttl <= :now",
        "ExpressionAttributeNames": {"#ttl": contract.TTL_ATTRIBUTE},
        "ExpressionAttributeValues": {":now": _after(change.at, 0)},
    }


def changes_query(alert_id: str, *, limit: int) -> Item:
    """An alert's history, newest first."""
    return beginning_query(f"alert#{alert_id}", CHANGE_PREFIX, newest=limit)


def deliveries_query(event_id: str) -> Item:
    """The targets that have not taken an event yet."""
    return beginning_query(f"event#{event_id}", DELIVERY_PREFIX)


def item_to_change(item: Item) -> Change:
    """A line of an alert's history."""
    return Change.model_validate_json(item["doc"]["S"])


def page_put(page: Page) -> Item:
    """Stores a page; holds only if its last version is still the one before."""
    item = key_of(f"page#{page.page_id}", "page") | {
        "version": number(page.version),
        "doc": {"S": page.model_dump_json()},
    }
    if page.resolved_at is not None:
        item[contract.TTL_ATTRIBUTE] = _after(page.resolved_at, contract.ALERT_TTL_S)
    return _if_next(item, page.version)


def item_to_page(item: Item) -> Page:
    """A `page` row."""
    return Page.model_validate_json(item["doc"]["S"])


def newest_page_key(page_key: str) -> Item:
    """Where it stands which page of a peer group and type is the newest."""
    return key_of(f"page#{page_key}", "newest")


def newest_page_put(page_key: str, page: Page, *, version: int) -> Item:
    """Makes a page the newest of its peer group and type; holds only if nobody else did since."""
    item = newest_page_key(page_key) | {
        "version": number(version),
        "page_id": {"S": page.page_id},
        contract.TTL_ATTRIBUTE: _after(page.opened_at, contract.ALERT_TTL_S),
    }
    return _if_next(item, version)


def due_key(entity_id: str) -> Item:
    """The timer of an alert (`alert#<id>`) or a page (`page#<id>`)."""
    return key_of(entity_id, "due")


def due_item(entity_id: str, at: datetime) -> Item:
    """A timer, which the list of `due` rows has by time."""
    return due_key(entity_id) | {contract.TIME_KEY: number(to_epoch_ms(at))}


def overdue_query(entity_type: str, *, now_ms: int, limit: int) -> Item:
    """Rows of one kind whose time has come, the oldest first."""
    return {
        "IndexName": contract.ENTITY_TYPE_INDEX,
        "KeyConditionExpression": "entity_type = :type AND #ts <= :now",
        "ExpressionAttributeNames": {"#ts": contract.TIME_KEY},
        "ExpressionAttributeValues": {":type": {"S": entity_type}, ":now": number(now_ms)},
        "Limit": limit,
    }


def delivery_key(event_id: str, target: str) -> Item:
    """Where an event lies until a target took it."""
    return key_of(f"event#{event_id}", f"{DELIVERY_PREFIX}{target}")


def delivery_item(event: Event, target: str, *, not_before: datetime) -> Item:
    """An event on its way to one target; deleted when that took it."""
    return delivery_key(event.event_id, target) | {
        contract.TIME_KEY: number(to_epoch_ms(not_before)),
        "doc": {"S": event.model_dump_json()},
    }


def item_to_event(item: Item) -> Event:
    """A delivery's event."""
    return Event.model_validate_json(item["doc"]["S"])


def claim_update(delivery: Item, *, owner: str, now_ms: int, lease_ms: int) -> Item:
    """Takes a delivery for `lease_ms`; holds only if the row is still there and nobody else's lease is running."""
    return {
        "Key": delivery,
        "UpdateExpression": "SET lease_owner = :owner, lease_until = :until",
        "ConditionExpression": (
            "attribute_exists(entity_id) AND"
            " (attribute_not_exists(lease_until) OR lease_until < :now OR lease_owner = :owner)"
        ),
        "ExpressionAttributeValues": {
            ":owner": {"S": owner},
            ":until": number(now_ms + lease_ms),
            ":now": number(now_ms),
        },
    }


def put_off_update(key: Item, *, owner: str, until_ms: int, attempts: int) -> Item:
    """Lets go of a delivery that failed, until it is tried again; holds only for its owner."""
    return {
        "Key": key,
        "UpdateExpression": "SET #ts = :until, attempts = :attempts REMOVE lease_owner, lease_until",
        "ConditionExpression": "lease_owner = :owner",
        "ExpressionAttributeNames": {"#ts": contract.TIME_KEY},
        "ExpressionAttributeValues": {
            ":until": number(until_ms),
            ":attempts": number(attempts),
            ":owner": {"S": owner},
        },
    }


def telling_item(page_id: str, telling: Telling) -> Item:
    """What one target took of a page. Written again it says what was told last."""
    return key_of(f"page#{page_id}", f"{TELLING_PREFIX}{telling.event_id}#{telling.target}") | {
        contract.TTL_ATTRIBUTE: _after(telling.taken_at, contract.ALERT_TTL_S),
        "doc": {"S": telling.model_dump_json()},
    }


def tellings_query(page_id: str, *, limit: int) -> Item:
    """What was told of a page, newest first."""
    return beginning_query(f"page#{page_id}", TELLING_PREFIX, newest=limit)


def item_to_telling(item: Item) -> Telling:
    """What one target took of a page."""
    return Telling.model_validate_json(item["doc"]["S"])


def silence_item(silence: Silence) -> Item:
    """The row of a silence, which lists it by its end."""
    names_its_streams = silence.scope is not SilenceScope.PREDICTION_TYPE
    return key_of(f"silence#{silence.silence_id}", "silence") | {
        **({ABOUT: {"S": silence.value}} if names_its_streams else {}),
        contract.TIME_KEY: number(to_epoch_ms(silence.ends_at)),
        contract.TTL_ATTRIBUTE: _after(silence.ends_at, contract.ALERT_TTL_S),
        "doc": {"S": silence.model_dump_json()},
    }


def silence_end_put(silence: Silence, *, was_to_end_at: datetime) -> Item:
    """Stores the end of a silence; holds only if nobody ended it before."""
    return {
        "Item": silence_item(silence),
        "ConditionExpression": "#ts = :was",
        "ExpressionAttributeNames": {"#ts": contract.TIME_KEY},
        "ExpressionAttributeValues": {":was": number(to_epoch_ms(was_to_end_at))},
    }


def item_to_silence(item: Item) -> Silence:
    """A `silence` row."""
    return Silence.model_validate_json(item["doc"]["S"])


def silences_query(*, now_ms: int) -> Item:
    """The silences that have not ended."""
    return newer_query("silence", after_ms=now_ms)


def open_alerts_where() -> Where:
    """Keeps the alerts that have not ended."""
    return "#state <> :resolved", {":resolved": {"S": AlertState.RESOLVED}}


def delete_present(key: Item) -> Item:
    """Deletes a row; holds only if it is there, so of two who deal with it one does."""
    return {"Key": key, "ConditionExpression": "attribute_exists(entity_id)"}


def version_check(entity_id: str, entity_type: str, version: int | None) -> Item:
    """Holds only if a row still has this version; None: only if it is not there."""
    if version is None:
        return {"Key": key_of(entity_id, entity_type), "ConditionExpression": "attribute_not_exists(entity_id)"}
    return {
        "Key": key_of(entity_id, entity_type),
        "ConditionExpression": "version = :seen",
        "ExpressionAttributeValues": {":seen": number(version)},
    }


def _if_next(item: Item, version: int) -> Item:
    if version == 1:
        return {"Item": item, "ConditionExpression": "attribute_not_exists(entity_id)"}
    return {
        "Item": item,
        "ConditionExpression": "version = :before",
        "ExpressionAttributeValues": {":before": number(version - 1)},
    }


def _after(at: datetime, seconds: int) -> Item:
    return number(to_epoch_ms(at) // 1000 + seconds)
