"""Muster's client: asks "may this person do this now?", and takes nothing but a well-formed yes for a yes.

    client = Client("https://muster.example", token=lambda: Path("/run/secrets/muster").read_text())
    decision = client.decide("ada", "data-export", Entity("dataset", "customers", {"customer": "acme"}))

`Decision.allow` is the answer. Whatever is no well-formed answer is raised as `Undecided`: neither a yes nor a no.
"""

from muster_client.answers import Certified, Decision, Denial, Module, Remedy, Stored
from muster_client.calls import Entity
from muster_client.client import AsyncClient, Client
from muster_client.errors import ClientError, Refused, Undecided, Unproven

__all__ = [
    "AsyncClient",
    "Certified",
    "Client",
    "ClientError",
    "Decision",
    "Denial",
    "Entity",
    "Module",
    "Refused",
    "Remedy",
    "Stored",
    "Undecided",
    "Unproven",
]
