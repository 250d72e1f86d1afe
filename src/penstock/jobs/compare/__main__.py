"""`python -m penstock.jobs.compare`: counts until it is told to stop, and says what it counted on `/comparison`."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
import time
from datetime import UTC, datetime

import httpx
import orjson

from penstock.domain.shadow.view import Counts
from penstock.jobs.compare.pairing import Pairing
from penstock.jobs.compare.settings import Settings
from penstock.jobs.compare.track import Track
from penstock.jobs.compare.visibility import Visibility
from penstock.runtime.admin import serve_pages

# A loop that has not come round for so long hangs.
_STUCK_SECONDS = 30.0
# Whoever asks it to stop before its Job is deleted (a drained node) gets no success, so that another takes over.
_STOPPED = 143
_log = logging.getLogger(__name__)


class Comparator:
    """Reads both tracks, round after round."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._instance = secrets.token_hex(8)
        self._since = datetime.now(UTC)
        self._counts = Counts()
        self._pods = (0, 0)
        self._round_at = time.monotonic()

    async def run(self) -> None:
        """Go on until cancelled."""
        settings, started = self._settings, time.monotonic()
        pairing = Pairing(settings.rule, settings.window, settings.percent)
        unseen = Visibility(settings.window)  # of originals that nobody saw there is nothing to say
        visibility = Visibility(settings.window)
        async with httpx.AsyncClient(trust_env=False) as client:
            champion = Track(settings.champion, settings.model, client, started, unseen, pairing.champion, pairing.lost)
            candidate = Track(
                settings.candidate, settings.model, client, started, visibility, pairing.candidate, pairing.lost
            )
            while True:
                began = time.monotonic()
                await asyncio.gather(champion.poll(), candidate.poll())
                pairing.settle(time.monotonic(), visibility.is_visible)
                self._counts, self._pods = pairing.counts(), (champion.pods, candidate.pods)
                self._round_at = time.monotonic()
                await asyncio.sleep(max(0.0, began + settings.poll - self._round_at))

    def page(self, _query: str) -> tuple[str, bytes]:
        """What was counted since this process began."""
        champion_pods, candidate_pods = self._pods
        document = {
            "instance": self._instance,
            "since": self._since.isoformat(),
            "at": datetime.now(UTC).isoformat(),
            "model": self._settings.model,
            "champion": self._settings.champion.revision,
            "candidate": self._settings.candidate.revision,
            "championPods": champion_pods,
            "candidatePods": candidate_pods,
            "counts": self._counts.as_json(),
        }
        return "application/json", orjson.dumps(document)

    def health(self, _query: str) -> tuple[str, bytes] | None:
        """Whether it still goes round."""
        is_well = time.monotonic() - self._round_at < _STUCK_SECONDS
        return ("application/json", b'{"live":true}') if is_well else None


async def _run_until_told(comparator: Comparator) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - this is one
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await comparator.run()
    except asyncio.CancelledError:
        _log.info("told to stop")


def main() -> int:
    """Returns 2 if what it was told makes no sense, and 143 when it was told to stop: it is never done by itself."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = Settings.from_environment(os.environ)
    except ValueError as error:
        _log.error("%s", error)
        return 2
    comparator = Comparator(settings)
    stop = serve_pages(settings.host, settings.port, {"/comparison": comparator.page, "/healthz": comparator.health})
    try:
        asyncio.run(_run_until_told(comparator))
    finally:
        stop()
    return _STOPPED


if __name__ == "__main__":
    sys.exit(main())
