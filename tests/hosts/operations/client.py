"""Makes requests by the typed functions of a client that was generated from /openapi.json.

The arguments are the directory that the package `hello_client` is in, and the service's URL. A line of
stdin is a request, and a line of stdout what the model of its response holds, both in JSON.
"""

import json
import sys
from datetime import date

import attrs
import httpx

sys.path.insert(0, sys.argv[1])

from hello_client import Client
from hello_client.api.greetings import (
    get_greeting,
    head_greeting,
    options_greeting,
    put_date_of_birth,
)
from hello_client.api.operations import get_liveness, get_readiness
from hello_client.models import User

GREETINGS = {
    "GET": get_greeting,
    "HEAD": head_greeting,
    "OPTIONS": options_greeting,
    "PUT": put_date_of_birth,
}
PROBES = {"/livez": get_liveness, "/readyz": get_readiness}


class Untyped:
    """A body that the type `User` does not allow."""

    def __init__(self, value):
        self.value = value

    def to_dict(self):
        return self.value


def user(value):
    match value:
        case {"dateOfBirth": str(text)} if len(value) == 1:
            try:
                born = date.fromisoformat(text)
            except ValueError:
                return Untyped(value)
            # Python takes other formats of ISO 8601 as well.
            return User(date_of_birth=born) if str(born) == text else Untyped(value)
    return Untyped(value)


def response(client, method, target, body):
    username = target.removeprefix("/hello/")
    if method == "PUT":
        return put_date_of_birth.sync_detailed(username, client=client, body=user(body))
    if target in PROBES:
        return PROBES[target].sync_detailed(client=client)
    return GREETINGS[method].sync_detailed(username, client=client)


def held(model):
    fields = {field.name: getattr(model, field.name) for field in attrs.fields(type(model))}
    # What the response has and the document does not.
    fields.pop("additional_properties", None)
    return {name.removesuffix("_"): value for name, value in fields.items()}


# Without proxies, and with a connection for each request: one that is refused may cost the connection.
settings = {"trust_env": False, "limits": httpx.Limits(max_keepalive_connections=0)}
with Client(sys.argv[2], raise_on_unexpected_status=True, httpx_args=settings) as client:
    for line in sys.stdin:
        answer = response(client, **json.loads(line))
        model = answer.parsed
        print(
            json.dumps(
                {
                    "status": answer.status_code,
                    "headers": list(answer.headers.items()),
                    "model": model and type(model).__name__,
                    "holds": model and held(model),
                }
            )
        )
