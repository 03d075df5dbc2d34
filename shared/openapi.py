"""A table of operations in, an OpenAPI 3.1 document out. The routes are made from the same table, so that both tell the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

Security = Literal["pushKey", "pullKey"]


class Parameter(msgspec.Struct, frozen=True):
    """Something a request may carry beside its body."""

    name: str
    place: Literal["path", "query", "header"]
    about: str
    schema: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "string"})
    required: bool = False


class Answer(msgspec.Struct, frozen=True):
    """One status: when it comes, and its content types with their schemas (none: no body)."""

    about: str
    content: dict[str, dict[str, Any]] = {}


class Operation(msgspec.Struct, frozen=True):
    """One method of one path. `name` is its operationId; `bodies` are the content types it takes; `limit` is in bytes."""

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    answers: dict[int, Answer]
    parameters: tuple[Parameter, ...] = ()
    bodies: dict[str, dict[str, Any]] = {}
    security: tuple[Security, ...] = ()
    limit: int = 64 * 1024


PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["error", "detail"],
    "properties": {
        "error": {"type": "string", "description": "A stable code in kebab-case."},
        "detail": {"type": "string", "description": "One sentence for a person."},
    },
}

SCHEMES: dict[Security, dict[str, Any]] = {
    "pushKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of the source, or a token of the desk with the scope push.",
    },
    "pullKey": {"type": "http", "scheme": "bearer", "description": "A pull key of the endpoint."},
}


def problem(about: str) -> Answer:
    """An answer that says what is wrong."""
    return Answer(about, {"application/json": {"$ref": "#/components/schemas/Problem"}})


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The OpenAPI document of these operations."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    used = sorted({name for operation in operations for name in operation.security})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Briefwire", "version": version, "description": "What sites and partners say to the wire over HTTP."},
        "paths": paths,
        "components": {"schemas": {"Problem": PROBLEM}, "securitySchemes": {name: SCHEMES[name] for name in used}},
    }  # fmt: skip


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [_parameter(one) for one in operation.parameters],
        "responses": {str(status): _answer(one) for status, one in sorted(operation.answers.items())},
    }
    if operation.bodies:
        described["requestBody"] = {"required": True, "content": _content(operation.bodies)}
    if operation.security:
        described["security"] = [{name: []} for name in operation.security]
    return described


def _parameter(one: Parameter) -> dict[str, Any]:
    required = one.required or one.place == "path"
    return {"name": one.name, "in": one.place, "description": one.about, "required": required, "schema": one.schema}


def _answer(one: Answer) -> dict[str, Any]:
    return {"description": one.about} | ({"content": _content(one.content)} if one.content else {})


def _content(types: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {name: {"schema": schema} for name, schema in types.items()}
