"""The decision log as an auditor sees it: whether the chain is whole, and what may leave the cluster."""

from penstock.domain.audit.chain import broken_link

__all__ = ["broken_link"]
