"""What the archiver is told by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """`store`: HOST/PREFIX. `namespace`, `board`: of the ConfigMap that says how far each log is outside.

    `key`: the private key; `former_keys`: a folder of public keys that signed before it.
    `deletes_per_second`: of DecisionRecords, all Models together. `seconds`: how long one run may take.
    """

    store: str
    namespace: str
    board: str
    key: Path
    former_keys: Path
    docker_config: Path | None
    insecure_registries: frozenset[str]
    deletes_per_second: float
    seconds: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables PENSTOCK_*; raises ValueError for what is missing or no number."""
        store = environment.get("PENSTOCK_STORE", "")
        if not store:
            raise ValueError("PENSTOCK_STORE is not set: HOST/PREFIX of the artifact store")
        login = Path(environment.get("PENSTOCK_DOCKER_CONFIG", "/etc/penstock/store-credentials/config.json"))
        return cls(
            store=store,
            namespace=environment.get("PENSTOCK_NAMESPACE", "penstock-system"),
            board=environment.get("PENSTOCK_EXPORTED", "penstock-exported"),
            key=Path(environment.get("PENSTOCK_KEY", "/etc/penstock/key/ed25519.pem")),
            former_keys=Path(environment.get("PENSTOCK_FORMER_KEYS", "/etc/penstock/key")),
            docker_config=login if login.is_file() else None,
            insecure_registries=frozenset(filter(None, environment.get("PENSTOCK_INSECURE", "").split(","))),
            deletes_per_second=float(environment.get("PENSTOCK_DELETES_PER_SECOND", "20")),
            seconds=float(environment.get("PENSTOCK_SECONDS", "840")),
        )
