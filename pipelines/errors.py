"""Errors that a user can mend: one sentence that names file, row or key, what was expected and the way out."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """Shown as one sentence; the command ends with `exit_code` (2 = usage or environment, 1 = refused or failed)."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def no_logs(home: Path) -> UserError:
    """A night was asked for where nothing has been taken in."""
    return UserError(
        f"There are no logs in {home} yet: run `fadecast ingest FILE --format NAME` first, "
        "or `fadecast demo` to try it on simulated ones."
    )


def need_logs(home: Path) -> None:
    """Raise `no_logs` where there is no warehouse."""
    from warehouse.store import DATABASE

    if not (home / DATABASE).exists():
        raise no_logs(home)


def in_one_sentence(error: Exception) -> tuple[str, int] | None:
    """What a user can mend, as a sentence and an exit code; `None` for a defect of Fadecast."""
    from models.parameters import ParameterError
    from warehouse.disk import reason_of
    from warehouse.keys import KeyFileError
    from warehouse.store import WarehouseError

    if isinstance(error, UserError):
        return str(error), error.exit_code
    if isinstance(error, ParameterError | WarehouseError | KeyFileError):
        return str(error), 2
    if isinstance(error, OSError) and (why := reason_of(error)) is not None:
        return f"{error.filename or 'A file'} cannot be written or read ({why}); mend that and run it again.", 2
    if isinstance(error, RuntimeError) and "no locator available" in str(error):  # numba's words
        return "Compiled code can be kept nowhere; set NUMBA_CACHE_DIR to a folder that you can write.", 2
    return None
