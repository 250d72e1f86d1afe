"""Signatures of exported segments: Ed25519, so that who can check one cannot make one.

Apart from the rest of the package: the operator never loads what this needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from penstock.domain.audit.segment import Verifier


class Signer:
    """Signs by a private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.key_id = key_id(key.public_key())

    @classmethod
    def from_pem(cls, pem: bytes) -> Signer:
        """Read an unencrypted PEM private key (`openssl genpkey -algorithm ed25519`). Raises ValueError."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("no unencrypted Ed25519 private key in PEM: openssl genpkey -algorithm ed25519")
        return cls(key)

    def sign(self, content: bytes) -> bytes:
        """Return the signature over these bytes."""
        return self._key.sign(content)

    def public_pem(self) -> bytes:
        """Return the public key, for who checks."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def public_key(pem: bytes) -> Ed25519PublicKey:
    """Read a PEM public key (`openssl pkey -pubout`). Raises ValueError."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("no Ed25519 public key in PEM: openssl pkey -in KEY -pubout")
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """Return the name of a key: the sha256 of its 32 bytes."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def verifier(keys: Iterable[Ed25519PublicKey]) -> Verifier:
    """Return what judges signatures: they must be of one of these keys."""
    known = {key_id(key): key for key in keys}

    def verify(content: bytes, signature: bytes, name: str) -> str | None:
        key = known.get(name)
        if key is None:
            return f"it was signed by the key {name}, which is not one of those given"
        try:
            key.verify(signature, content)
        except InvalidSignature:
            return "its signature is wrong"
        return None

    return verify
