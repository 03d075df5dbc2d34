"""An action of the table: a page that says what it will mean, then doing it. The same way for all of them."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from services.console import actions
from services.console.web import guard, show
from services.console.web.desk import Desk
from services.console.web.guard import Call, Refused


def confirm(call: Call) -> Response:
    """What the action will mean, and the button that does it."""
    action, target = _named(call)
    with call.desk.store.read() as connection:
        subject = actions.subject_of(connection, action.kind, target)
    return call.page("confirm.html", action=action, target=target, subject=subject, effect=actions.effect(action, subject),
                     after=guard.local(call.query("back")))  # fmt: skip


def perform(call: Call) -> Response:
    """Does it; a browser goes back to where it came from, a program gets JSON."""
    action, target = _named(call)
    fields = guard.fields_of(call.form)
    if action.judge is not None:
        action.judge(call.desk.settings, fields)
    with call.desk.begin() as work:
        done = actions.perform(
            action, work, call.identity.name, target, reason=call.form.get("reason", ""), fields=fields,
            folder=call.desk.settings.folder, randomness=call.desk.randomness(),
        )  # fmt: skip
    call.desk.sampler.sample()  # the next page shows what was done
    if call.wants_json:
        return JSONResponse({"done": done.said} | ({"secret": done.secret} if done.secret else {}))
    return call.go(guard.local(call.form.get("back", "")), done)


def _named(call: Call) -> tuple[actions.Action, str]:
    action = actions.ACTIONS.get(call.path("action"))
    if action is None:
        raise guard.not_found("such action")
    if not call.identity.may(action.role):
        raise Refused(403, f"To {show.short(action.title.lower())} needs the role {action.role}.")
    return action, call.path("target")


def routes(desk: Desk) -> list[BaseRoute]:
    """`/do/ACTION/TARGET`."""
    return [
        guard.get(desk, "/do/{action}/{target:path}", confirm, "operator"),
        guard.post(desk, "/do/{action}/{target:path}", perform, "operator"),
    ]
