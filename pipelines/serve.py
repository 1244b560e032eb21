"""``fadecast serve``: a real Prefect server and the flow on a nightly schedule."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.errors import UserError
from pipelines.settings import Settings
from warehouse.disk import make_home

_START_SECONDS = 180


def _healthy(api_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=2) as answer:  # noqa: S310  our own loopback address
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def prefect_server(settings: Settings, say: Callable[[str], None], port: int = 4200) -> Iterator[str]:
    """A Prefect server of this home's own, or the one ``PREFECT_API_URL`` names; yields its API address.

    Raises
    ------
    UserError
        The server does not answer in time.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        if not _healthy(given):
            raise UserError(f"PREFECT_API_URL names {given}, which does not answer: start that server or unset it.")
        yield given
        return
    api = f"http://127.0.0.1:{port}/api"
    if _healthy(api):
        say(f"Using the Prefect server that answers on {api}.")
        os.environ["PREFECT_API_URL"] = api
        yield api
        return
    make_home(settings.home)
    home = (settings.home / "prefect").resolve()
    home.mkdir(exist_ok=True)
    env = os.environ | {"PREFECT_HOME": str(home)}
    with (home / "server.log").open("a", encoding="utf-8") as log:
        server = subprocess.Popen(  # noqa: S603  our own interpreter and arguments
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + _START_SECONDS
        while not _healthy(api):
            if server.poll() is not None or time.monotonic() > end:
                raise UserError(f"The Prefect server did not start; its log is {home / 'server.log'}.")
            time.sleep(0.5)
        os.environ["PREFECT_API_URL"] = api
        say(f"Prefect server: {api.removesuffix('/api')}")
        yield api
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def serve(settings: Settings, now: bool, say: Callable[[str], None]) -> None:
    """Serve the nightly flow on its schedule until stopped; a missed night is run by the next one."""
    with prefect_server(settings, say) as api:
        from pipelines.nightly import build_flow

        flow = build_flow()
        home, body = str(settings.home.resolve()), settings.model_dump_json()
        if now:
            flow(home, None, body)
        address = api.removesuffix("/api")
        say(f"Nightly at {settings.serve_hour_utc:02d}:00 UTC for {home}; server {address}. Ctrl-C ends it.")
        flow.serve(
            name="fadecast-nightly",
            cron=f"0 {settings.serve_hour_utc} * * *",
            parameters={"home": home, "settings_json": body},
            pause_on_shutdown=False,
            limit=1,
        )
