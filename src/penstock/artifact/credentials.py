"""Registry credentials from a docker `config.json`."""

import base64
import binascii
import json
from pathlib import Path

from penstock.artifact.errors import ArtifactError, Reason

_DOCKER_HUB_HOSTS = {"docker.io", "registry-1.docker.io"}
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"


def basic_credentials(config: Path | None, host: str) -> tuple[str, str] | None:
    """User and password for a registry host, None for anonymous access; credential helpers are not run."""
    if config is None:
        return None
    try:
        auths = json.loads(config.read_bytes()).get("auths", {})
        found = next((auths[key] for key in _keys(host) if key in auths), None)
        if found is None:
            return None
        if "auth" in found:
            user, _, password = base64.b64decode(found["auth"], validate=True).decode().partition(":")
            return user, password
        return (found["username"], found["password"]) if "username" in found else None
    except (OSError, ValueError, binascii.Error, AttributeError, TypeError, KeyError):
        raise ArtifactError(
            Reason.INVALID_REFERENCE, f"The docker configuration '{config}' cannot be read: expected JSON with 'auths'."
        ) from None


def _keys(host: str) -> list[str]:
    keys = [host, f"https://{host}", f"https://{host}/", f"https://{host}/v1/", f"https://{host}/v2/"]
    return [*keys, _DOCKER_HUB_KEY] if host in _DOCKER_HUB_HOSTS else keys
