"""A call of the demo's page, without a network."""

from collections.abc import Mapping
from typing import Any

from starlette.testclient import TestClient

HOST = "127.0.0.1:7000"


def ask(app: Any, target: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes = b"") -> Any:
    """The response to one request, no redirect followed."""
    client = TestClient(app, base_url=f"http://{HOST}", follow_redirects=False)
    given = {name.encode(): value.encode("latin-1") for name, value in (headers or {}).items()}
    return client.request(method, target, headers=given, content=body)
