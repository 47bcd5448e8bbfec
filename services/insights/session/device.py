"""The doors of `iops login`: a machine asks for a key, and a person who is signed in approves it (as RFC 8628)."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from iops import items
from iops.auth import Caller
from iops.body import body_schema, harmless, read_body, read_bytes
from iops.errors import (
    AuthorizationPending,
    ExpiredCode,
    Forbidden,
    InvalidInput,
    IopsError,
    NotFound,
    SlowBody,
    SlowDown,
    TableUnavailable,
)
from iops.gate import PUBLIC, Viewer, address_of
from iops.problems import error_responses
from iops.sign_in import Device
from services.insights.session.codes import ALPHABET, new_codes, shown, typed
from services.insights.session.desk import Desk, PageViewer, TheDesk
from services.insights.session.limits import POLL_INTERVAL_S
from services.insights.session.mint import KEY_LIFE, MACHINE, Minted, grant_of, hash_of, mint
from services.insights.session.pages import APPROVE_FORM, CODE_FORM, error_page, page, page_errors

router = APIRouter(tags=["session"])

DEVICE_LIFE: Final = timedelta(minutes=10)
GONE: Final = "the code is unknown, older than ten minutes, or was used; `iops login` begins again"


def _one_line(text: str) -> str:
    label = " ".join(harmless(text).split())
    if not label:
        raise ValueError("it has nothing to be read")
    return label


class DeviceBody(BaseModel):
    """A machine, as its user knows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(max_length=64), AfterValidator(_one_line)]


class DeviceView(BaseModel):
    """What a machine shows its user, and what it asks with."""

    device_code: str
    user_code: str
    verification_url: str
    expires_in: int = Field(description="seconds")
    interval: int = Field(description="seconds between two questions")


class TokenBody(BaseModel):
    """What a machine proves itself with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device_code: Annotated[str, Field(pattern=rf"^[{ALPHABET}]{{8}}\.[A-Za-z0-9_-]{{43}}$")]


class LoginKey(BaseModel):
    """A key; it is told this once."""

    key: str
    expires_at: datetime


@router.post(
    "/session/device",
    dependencies=[PUBLIC],
    responses=error_responses(SlowBody, InvalidInput, SlowDown, TableUnavailable),
    openapi_extra=body_schema(DeviceBody),
)
async def begin(request: Request, desk: TheDesk) -> DeviceView:
    """Begins a login of a machine that has no browser, or no key yet."""
    address = address_of(request.scope)
    desk.limits.devices.take(address)
    body = await read_body(request, DeviceBody)
    user_code, device_code = new_codes(desk.random_bytes)
    device = Device(
        user_code=user_code,
        device_code_hash=hash_of(device_code),
        label=body.name,
        address=address,
        expires_at=desk.clock() + DEVICE_LIFE,
    )
    await desk.table.transact([{"Put": items.device_put(device, replaces=None)}])
    return DeviceView(
        device_code=device_code,
        user_code=shown(user_code),
        verification_url=desk.url_of("/session/device"),
        expires_in=int(DEVICE_LIFE.total_seconds()),
        interval=POLL_INTERVAL_S,
    )


@router.get("/session/device", response_class=HTMLResponse)
async def ask_for_code(_: PageViewer) -> Response:
    """The page on which a person types the code of a machine; signs in first who is not."""
    return page("A machine asks to sign in", CODE_FORM)


@router.post("/session/device/look", response_class=HTMLResponse, responses=page_errors(Forbidden, NotFound))
async def look(request: Request, desk: TheDesk, caller: Viewer) -> Response:
    """Shows which machine asks, before anybody approves it."""
    desk.check_origin(request)
    try:
        device = await _waiting(desk, caller, await _code_in(request))
    except IopsError as error:
        return error_page(error)
    return page(
        "Is this your machine?",
        APPROVE_FORM,
        label=device.label,
        address=device.address,
        hours=f"{KEY_LIFE.total_seconds() / 3600:g}",
        role=caller.role,
        streams=", ".join(caller.streams),
        code=shown(device.user_code),
    )


@router.post("/session/device/approve", response_class=HTMLResponse, responses=page_errors(Forbidden, NotFound))
async def approve(request: Request, desk: TheDesk, caller: Viewer) -> Response:
    """Gives the machine what the caller may do, and no more."""
    desk.check_origin(request)
    try:
        device = await _waiting(desk, caller, await _code_in(request))
        granted = device.model_copy(update={"grant": await grant_of(desk, request, caller)})
        await desk.table.transact([{"Put": items.device_put(granted, replaces=device)}])
    except IopsError as error:
        return error_page(error)
    return page("Done", "<p>{label} is signed in. You may close this page.</p>", label=device.label)


@router.post(
    "/session/device/token",
    dependencies=[PUBLIC],
    responses=error_responses(ExpiredCode, AuthorizationPending, SlowBody, InvalidInput, SlowDown, TableUnavailable),
    openapi_extra=body_schema(TokenBody),
)
async def take_key(request: Request, desk: TheDesk) -> LoginKey:
    """The machine's key, once, as soon as somebody approved it."""
    desk.limits.addresses.take(address_of(request.scope))
    body = await read_body(request, TokenBody)
    desk.limits.polls.take(hash_of(body.device_code))
    minted = await _take(desk, request, body.device_code)
    return LoginKey(key=minted.key, expires_at=minted.expires_at)


async def _take(desk: Desk, request: Request, device_code: str) -> Minted:
    device = await _read(desk, device_code.partition(".")[0])
    if device is None or not hmac.compare_digest(device.device_code_hash, hash_of(device_code)):
        raise ExpiredCode(GONE)
    if device.grant is None:
        raise AuthorizationPending("nobody has approved it yet")
    name = f"{MACHINE} {device.grant.name[:32]} on {device.label}"
    return await mint(desk, request, device.grant, name=name, takes=items.device_take(device), gone=GONE)


async def _waiting(desk: Desk, caller: Caller, code: str) -> Device:
    """The machine of a code that was typed. It counts as wrong until it is right, or many at once would be free."""
    desk.limits.wrong_codes.take(caller.name)
    device = await _read(desk, code) if code else None
    if device is None or device.grant is not None:
        raise NotFound("no machine waits with that code: read it again, or begin again")
    desk.limits.wrong_codes.give_back(caller.name)
    return device


async def _read(desk: Desk, user_code: str) -> Device | None:
    device = await desk.table.get_readable(items.device_key(user_code), items.item_to_device)
    return device if device is not None and desk.clock() < device.expires_at else None


async def _code_in(request: Request) -> str:
    body = await read_bytes(request)
    try:
        form = parse_qs(body.decode("latin-1"), max_num_fields=4)
    except ValueError:  # more fields than any form of ours has
        return ""
    return typed(form.get("code", [""])[0])
