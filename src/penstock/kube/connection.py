"""Where the API server is and how to authenticate, taken from what the official client loads."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import Configuration

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConnectionSettingsError(Exception):
    """There is no usable configuration; the message says what to do."""


class Connection:
    """Host, TLS and credentials of one API server; short-lived tokens are refreshed by the official client's code."""

    def __init__(self, configuration: Any, refresher: asyncio.Task[None] | None = None) -> None:
        self.host = str(configuration.host).rstrip("/")
        self.proxy: str | None = configuration.proxy or None
        self.server_name: str | None = configuration.tls_server_name or None
        self.ssl = _ssl_context(configuration)
        self._configuration = configuration
        self._refresher = refresher

    async def authorization(self) -> str | None:
        """The Authorization header of now, or None if a client certificate (or nothing) is used."""
        value = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return str(value).strip() if value else None

    async def close(self) -> None:
        """Stops refreshing the credentials."""
        if self._refresher is not None:
            self._refresher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refresher


async def load_connection(
    kubeconfig: Path | None, environ: Mapping[str, str], context: str | None = None
) -> Connection:
    """Loads ``kubeconfig``, else $KUBECONFIG, else the pod's service account, else ~/.kube/config.

    ``context``: one of the kubeconfig's; its current one if None.
    Raises ConnectionSettingsError if that file is missing or unusable.
    """
    configuration: Any = Configuration()
    explicit = str(kubeconfig) if kubeconfig is not None else environ.get("KUBECONFIG") or None
    in_pod = _runs_in_pod(environ)
    # The official loaders are untyped.
    official: Any = kube_config
    try:
        if explicit is None and in_pod:
            official.load_incluster_config(client_configuration=configuration)
            return Connection(configuration)
        loader = await official.load_kube_config(
            config_file=explicit, context=context, client_configuration=configuration
        )
    except (official.ConfigException, yaml.YAMLError, OSError) as error:
        source = explicit or ("the pod's service account" if in_pod else "~/.kube/config")
        raise ConnectionSettingsError(
            f"No cluster to talk to: {source} cannot be used ({error}). Set KUBECONFIG to a usable file."
        ) from error
    refresher = asyncio.create_task(official.refresh_token(loader, configuration), name="kubeconfig-token-refresh")
    return Connection(configuration, refresher)


def _runs_in_pod(environ: Mapping[str, str]) -> bool:
    return "KUBERNETES_SERVICE_HOST" in environ and (_SERVICE_ACCOUNT / "token").exists()


def _ssl_context(configuration: Any) -> ssl.SSLContext | bool:
    if not str(configuration.host).startswith("https"):
        return True
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
