"""What the host does for a function, for Python files that want more than AWS gives: `import rimward`.

Each call needs its grant in the configuration; one that is missing raises HostError when it is used.
"""

import base64
import json

from componentize_py_types import Err
from wit_world.imports import dynamic


class HostError(Exception):
    """The host refused or failed; the words say how."""


class Response:
    """Answer of `fetch`."""

    def __init__(self, answer):
        self.status = answer["status"]
        self.headers = [(name.lower(), value) for name, value in answer["headers"]]
        self.body = base64.b64decode(answer["body"])

    def header(self, name):
        return next((value for key, value in self.headers if key == name.lower()), None)


def fetch(url, method="GET", headers=(), body=b"", timeout_ms=0):
    """HTTP to a host that was granted. `headers`: a mapping, or pairs of name and value."""
    pairs = headers.items() if hasattr(headers, "items") else headers
    request = {
        "method": method,
        "url": url,
        "headers": [[name, value] for name, value in pairs],
        "body": base64.b64encode(body).decode(),
        "timeoutMs": timeout_ms,
    }
    return Response(_json("fetch.send", request))


def secret(name):
    """The bytes of a secret."""
    return _raw("secrets.get", {"name": name})


def kv_get(store, key):
    """The bytes of a key; None when there is no such key."""
    answer = _raw("kv.get", {"store": store, "key": key})
    return answer[1:] if answer[0] else None


def kv_put(store, key, value):
    """Writes bytes; the store needs `write` in its grant."""
    _raw("kv.put", {"store": store, "key": key, "value": base64.b64encode(value).decode()})


def kv_delete(store, key):
    _raw("kv.delete", {"store": store, "key": key})


def geo(ip):
    """Where an address is, as a dictionary; None when that is not known."""
    return _json("geo.lookup", {"ip": ip})


def _json(operation, payload):
    return json.loads(_raw(operation, payload))


def _raw(operation, payload):
    try:
        return dynamic.call(operation, json.dumps(payload).encode())
    except Err as error:
        raise HostError(error.value) from None
