"""Each request until the server has taken it, for the commands that send.

A request carries an Idempotency-Key, so sending it again after a lost answer stores nothing twice. What the server
cannot take just now (503, 429) is sent again when it says so; a connection that breaks is made anew. Both are bounded
by `PATIENCE`.
"""

import http.client
import time

from footpath.errors import CommandFailed
from footpath.sending.connection import LATER, Answer, Connection, answer_of

PATIENCE = 120.0  # seconds that one request is sent again: a restart and a full journal pass in less


class PatientSender:
    """Submits to one server. Use one a thread, and close it."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Prepare to send to a server: see `Connection`."""
        self._connection = Connection(url, key)
        self._reached = False

    def submit(self, body: bytes, key: str) -> Answer:
        """Send a body until the server has taken it.

        Raises:
            CommandFailed: it refuses the whole request, cannot be reached, or does not take it for `PATIENCE` seconds.
        """
        url = self._connection.url
        deadline = time.monotonic() + PATIENCE
        wait = 0.2
        while True:
            try:
                response = self._connection.post(body, key)
            except (OSError, http.client.HTTPException) as error:
                trouble = f"{type(error).__name__}: {error}"
                if not self._reached:
                    raise CommandFailed(
                        f"cannot reach {url} ({trouble}): is `footpath serve` running there?"
                    ) from error
                pause = wait
            else:
                self._reached = True
                if response.status not in LATER:
                    return answer_of(response, url)
                trouble = response.sentence
                pause = max(wait, response.retry_after)
            if time.monotonic() + pause > deadline:
                raise CommandFailed(f"{url} has not taken a request for {PATIENCE:.0f} s ({trouble})")
            time.sleep(pause)
            wait = min(wait * 2, 5.0)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
