"""Errors that a user can mend: one sentence that names file, row or key, what was expected and the way out."""

from __future__ import annotations


class UserError(Exception):
    """Shown as one sentence; the command ends with `exit_code` (2 = usage or environment, 1 = refused or failed)."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
