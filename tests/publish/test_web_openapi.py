"""The OpenAPI document: it names every route of both services, and each of its parameters stands in a path or may be sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # publishes no types
import pytest

from services.ingest import web as ingest
from services.publish import web as publish
from shared.api import ApiRoute, Site
from shared.store.engine import Store
from tests.serving import Rung, serving, settings


@pytest.fixture
def described(store: Store, tmp_path: Path) -> tuple[list[ApiRoute], dict[str, Any]]:
    site = Site(settings(tmp_path), store, ring=Rung())
    routes = [*ingest.routes(site), *publish.routes(site)]
    with serving(routes) as client:
        document: dict[str, Any] = client.get("/openapi.json").json()
    return [route for route in routes if isinstance(route, ApiRoute)], document


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(path, method): one for path, methods in document["paths"].items() for method, one in methods.items()}


def test_every_route_is_described_and_nothing_else(described: tuple[list[ApiRoute], dict[str, Any]]) -> None:
    routes, document = described
    there = {(route.path, one.method.lower()) for route in routes for one in route.operations}
    assert there == set(operations(document))
    assert len({one["operationId"] for one in operations(document).values()}) == len(there)
    for (path, _), one in operations(document).items():
        named = {p["name"] for p in one["parameters"] if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
        assert all(p["required"] for p in one["parameters"] if p["in"] == "path")
        assert "503" in one["responses"]


def test_schemas_are_schemas_and_references_lead_somewhere(described: tuple[list[ApiRoute], dict[str, Any]]) -> None:
    _, document = described
    found = list(schemas(document["paths"]))
    assert len(found) > 40
    for schema in found:
        jsonschema.Draft202012Validator.check_schema(schema)
        if "$ref" in schema:
            assert schema["$ref"].removeprefix("#/components/schemas/") in document["components"]["schemas"]
    used = {name for one in operations(document).values() for need in one.get("security", []) for name in need}
    assert used == set(document["components"]["securitySchemes"])


def schemas(value: Any) -> Any:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "schema":
                yield inner
            else:
                yield from schemas(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas(inner)
