"""The ledger of another process of this machine: its client and its server, over a Unix socket that only its user can
open."""

from ledger.remote.client import RemoteLedger

__all__ = ["RemoteLedger"]
