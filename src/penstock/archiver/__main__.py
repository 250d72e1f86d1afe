"""`python -m penstock.archiver`: one run, as a CronJob starts it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from penstock.archiver.archive import Archive
from penstock.archiver.board import Board
from penstock.archiver.run import Archiver
from penstock.archiver.settings import Settings
from penstock.artifact.errors import ArtifactError
from penstock.artifact.logstore import LogStore
from penstock.domain.audit.segment import Verifier
from penstock.domain.audit.signature import Signer, public_key, verifier
from penstock.kube.client import KubeClient
from penstock.kube.connection import ConnectionSettingsError
from penstock.kube.errors import ApiError
from penstock.kube.ratelimit import TokenBucket

AGENT = "penstock-archiver"
logger = logging.getLogger("penstock.archiver")


def main() -> int:
    """Run once: 0 if every log was tended, 1 if one was not, 2 for a wrong configuration."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = Settings.from_environment(os.environ)
        signer = Signer.from_pem(settings.key.read_bytes())
        return asyncio.run(_run(settings, signer))
    except (ValueError, OSError, ArtifactError, ConnectionSettingsError) as error:
        logger.error("%s", error)
        return 2


async def _run(settings: Settings, signer: Signer) -> int:
    verify = trusted(signer, settings.former_keys)
    store = LogStore(
        settings.store,
        docker_config=settings.docker_config,
        insecure_registries=settings.insecure_registries,
        # A log that was begun is finished; the Job is ended a minute after its time.
        deadline_seconds=settings.seconds + 50,
    )
    deletes = TokenBucket(settings.deletes_per_second, max(1, round(settings.deletes_per_second)))
    with store:
        async with await KubeClient.connect(user_agent=AGENT) as client:
            archive = Archive(store, signer, verify)
            board = Board(client, settings.namespace, settings.board)
            archiver = Archiver(client, archive, board, lambda: datetime.now(UTC), deletes, settings.seconds)
            try:
                tally = await archiver.run()
            except ApiError as error:
                logger.error("the API server: %s", error)
                return 1
    print(json.dumps(asdict(tally)))
    return 1 if tally.problems else 0


def trusted(signer: Signer, folder: Path) -> Verifier:
    """Return what judges signatures: ours, and those of the public keys (*.pub) in a folder. Raises ValueError."""
    former = [public_key(path.read_bytes()) for path in sorted(folder.glob("*.pub"))] if folder.is_dir() else []
    return verifier([public_key(signer.public_pem()), *former])


if __name__ == "__main__":
    sys.exit(main())
