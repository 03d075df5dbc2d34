"""The error tree: three fates.

    BriefwireError
    ├── Retryable        later: the row gets a new due_at
    ├── Rejected         never: quarantined under its reason code, an operator may redrive it
    └── OperatorError    a person must act: one sentence, the next step, an exit code

Anything else is a bug and stays loud. A partner's answer of 500 is an outcome, hence a value (`services.publish.policy`).
"""

from __future__ import annotations


class BriefwireError(Exception):
    """Root of everything we raise on purpose."""


class Retryable(BriefwireError):
    """The same call may succeed later.

    Args:
        reason: code in kebab-case, stable, shown to operators ("connect-timeout").
        detail: one sentence for a person.
        after_s: seconds the other side asked us to wait (Retry-After), None when it said nothing.
    """

    def __init__(self, reason: str, detail: str = "", *, after_s: float | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail, self.after_s = reason, detail, after_s


class Rejected(BriefwireError):
    """The same call can never succeed with this input.

    Args:
        reason: code in kebab-case, stable ("not-an-article", "address-refused").
        detail: one sentence for a person.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail

    def __reduce__(self) -> tuple[type[Rejected], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class OperatorError(BriefwireError):
    """A person must act first. The command line prints `what` and `next_step` and exits with `code`.

    Exit codes: 1 the answer is no (books do not balance), 2 wrong use or input, 3 something needed is not reachable,
    4 refused by the state of the installation (data folder in use, written by a newer version, disk full).
    """

    def __init__(self, what: str, next_step: str = "", *, code: int = 2) -> None:
        super().__init__(f"{what} {next_step}".strip())
        self.what, self.next_step, self.code = what, next_step, code
