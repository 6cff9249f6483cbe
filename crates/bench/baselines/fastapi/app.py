"""The contract of hello on FastAPI, written to be fast: the baseline of `cargo xtask bench compare`."""

import gc
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timezone
from http import HTTPStatus

import asyncpg
from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_fastapi_instrumentator import Instrumentator, metrics
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

GET_USER = "select date_of_birth from users where username = $1"
PUT_USER = """
insert into users (username, date_of_birth) values ($1, $2)
on conflict (username)
do update set date_of_birth = excluded.date_of_birth, updated_at = now()
"""

MAX_BODY = 4096

# A worker's: at 64 connections to two workers, no request waits for one to Postgres.
POOL_SIZE = 32

# date.fromisoformat alone takes "2020-W01-1" too, which has ten characters.
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}

pool: asyncpg.Pool


async def keep_session(_: asyncpg.Connection) -> None:
    """No session state is ever set, so asyncpg's own reset would be a round trip for nothing."""


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    global pool
    pool = await asyncpg.create_pool(
        os.environ["DATABASE_URL"],
        min_size=POOL_SIZE,
        max_size=POOL_SIZE,
        max_inactive_connection_lifetime=0,
        command_timeout=5,
        reset=keep_session,
    )
    gc.collect()
    gc.freeze()  # What start-up made stays: no collection needs to look at it again.
    async with pool:
        yield


app = FastAPI(
    lifespan=lifespan, redirect_slashes=False, openapi_url=None, docs_url=None, redoc_url=None
)


# Handlers return Responses, so FastAPI neither validates nor encodes what they made.
@app.api_route("/hello/{username}", methods=["GET", "HEAD"])
async def greet(request: Request) -> Response:
    username = valid_username(request)
    born = await pool.fetchval(GET_USER, username)
    if born is None:
        raise HTTPException(404, "user not found")
    days = days_until(born, today())
    rest = f"Your birthday is in {days} day(s)" if days else "Happy birthday!"
    # Letters alone: nothing in it needs JSON's escapes.
    return answer(f'{{"message":"Hello, {username}! {rest}"}}')


@app.put("/hello/{username}")
async def save(request: Request) -> Response:
    username = valid_username(request)
    born = date_of_birth(await read_body(request))
    await pool.execute(PUT_USER, username, born)
    return Response(status_code=204, headers=HEADERS)


@app.api_route("/livez", methods=["GET", "HEAD"])
async def livez() -> Response:
    return answer('{"status":"alive"}')


@app.api_route("/readyz", methods=["GET", "HEAD"])
async def readyz() -> Response:
    await pool.fetchval("select 1 from users limit 1")
    return answer('{"status":"ready"}')


@app.options("/hello/{username}")
@app.options("/livez")
@app.options("/readyz")
async def options(request: Request) -> Response:
    return Response(status_code=204, headers={**HEADERS, "allow": allowed(request)})


def answer(content: str) -> Response:
    return Response(content, headers=HEADERS, media_type="application/json")


def allowed(request: Request) -> str:
    put = ", PUT" if request.url.path.startswith("/hello/") else ""
    return f"GET, HEAD{put}, OPTIONS"


def valid_username(request: Request) -> str:
    username: str = request.path_params["username"]
    if len(username) > 64 or not (username.isascii() and username.isalpha()):
        raise HTTPException(400, "the username must be 1 to 64 ASCII letters")
    return username


async def read_body(request: Request) -> bytes:
    types = request.headers.getlist("content-type")
    if len(types) != 1 or types[0].split(";", 1)[0].strip().lower() != "application/json":
        raise unsupported("send content-type: application/json")
    if "content-encoding" in request.headers:
        raise unsupported("send no content-encoding")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, "request body must not exceed 4096 bytes")
    return body


def date_of_birth(body: bytes) -> date:
    try:
        # Every object becomes a tuple of pairs, which arrays never are: repeats stay visible.
        members = json.loads(body.decode(), object_pairs_hook=tuple, parse_constant=refuse)
    except (ValueError, RecursionError):
        members = None
    if type(members) is not tuple:
        raise HTTPException(400, "request body must be a single JSON object")
    by_name = dict(members)
    if len(by_name) != len(members):
        raise HTTPException(400, "duplicate member in JSON object")
    if "dateOfBirth" not in by_name:
        raise HTTPException(400, "dateOfBirth is missing")
    text = by_name["dateOfBirth"]
    if type(text) is not str:
        raise HTTPException(400, "dateOfBirth must be a string")
    if not DATE.fullmatch(text):
        raise HTTPException(400, "dateOfBirth must have the format YYYY-MM-DD")
    try:
        born = date.fromisoformat(text)
    except ValueError:
        raise HTTPException(
            400, "dateOfBirth must be a valid calendar date, 0001-01-01 or later"
        ) from None
    if born >= today():
        raise HTTPException(400, "dateOfBirth must be before today (UTC)")
    return born


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def today() -> date:
    return datetime.now(timezone.utc).date()


def days_until(born: date, today: date) -> int:
    this_year = anniversary(born, today.year)
    following = this_year if this_year >= today else anniversary(born, today.year + 1)
    return (following - today).days


def anniversary(born: date, year: int) -> date:
    try:
        return born.replace(year=year)
    except ValueError:  # 29 February is celebrated on the 28th in common years.
        return date(year, 2, 28)


def unsupported(detail: str) -> HTTPException:
    return HTTPException(415, detail, {"accept": "application/json"})


def problem(status: int, detail: str, headers: dict[str, str]) -> Response:
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    return Response(
        json.dumps(document, separators=(",", ":")),
        status_code=status,
        headers={**HEADERS, **headers},
        media_type="application/problem+json",
    )


@app.exception_handler(StarletteHTTPException)
async def on_refusal(request: Request, refusal: StarletteHTTPException) -> Response:
    detail, headers = refusal.detail, refusal.headers or {}
    if refusal.status_code == 405:
        detail, headers = "method not allowed for this resource", {"allow": allowed(request)}
    elif detail == "Not Found":  # Starlette's own, for a path without a route
        detail = "no such route"
    return problem(refusal.status_code, detail, dict(headers))


@app.exception_handler(ClientDisconnect)
async def on_broken_body(_: Request, __: ClientDisconnect) -> Response:
    return problem(400, "request body was truncated", {})


@app.exception_handler(OSError)  # refused, reset, timed out
@app.exception_handler(asyncpg.PostgresError)
@app.exception_handler(asyncpg.InterfaceError)
async def on_outage(_: Request, __: Exception) -> Response:
    return problem(503, "the store is unavailable", {"retry-after": "1"})


# One counter and one histogram, as hello has, not the default five series a request.
Instrumentator(excluded_handlers=["/metrics", "/livez", "/readyz"]).add(
    metrics.requests()
).add(metrics.latency()).instrument(app).expose(app)
