"""Tokens as ledger entries: issued and revoked, so that who could call when is on the record too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import orjson

from engine.access import tokens
from engine.access.caller import Principal
from engine.access.tokens import Secret
from engine.entries.writer import Once, Writer
from engine.errors import Conflict, NotFound
from ledger.ids import uuid7
from ledger.model import JSON, Append, Draft, Entry

_PREFIX = "token/"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Issues, lists and revokes tokens."""

    writer: Writer

    async def create(
        self, role: str, principal: Principal, life: str, once: Once, more: Mapping[str, JSON] | None = None
    ) -> tuple[Secret, str]:
        """Issue a token; returns its secret, once, and the instant at which it ends. `more` is for its entry.

        A session is for who is in the directory; raises NotFound.
        """
        runtime, caller = self.writer.runtime, once.caller
        secret = tokens.make(caller.tenant, uuid7())
        expires_at = tokens.expiry(runtime.now(caller.tenant), life)

        async def build() -> Append:
            known = self.writer.known(caller.tenant, principal.person) if principal.person is not None else None
            if known is None and role == "learner-session":
                raise NotFound(f"there is no {principal} in the directory: add the person first")
            payload = once.marked(
                {
                    "token": secret.token_id,
                    "event": "issued",
                    "hash": secret.hash,
                    "role": role,
                    "principal": {"type": principal.type, "id": principal.id},
                    "expires_at": expires_at,
                    "by": self.writer.by(caller),
                    **(more or {}),
                }
            )
            draft = Draft(id=uuid7(), kind="token", payload=payload, about=principal.person)
            return Append(tenant=caller.tenant, drafts=(draft,), reads=() if known is None else (known[1],))

        _, repeated = await self.writer.write(once, build)
        if repeated:
            raise Conflict("this token was issued before, and its secret is shown once: revoke it and make another")
        return secret, expires_at

    async def revoke(self, token_id: str, once: Once) -> Entry:
        """Revoke a token; raises NotFound."""
        caller, name = once.caller, f"token/{token_id}"

        async def build() -> Append:
            version, state = self.writer.runtime.reader.objects(caller.tenant, [name])[name]
            if not isinstance(state, dict):
                raise NotFound(f"there is no token {token_id}")
            holder = tokens.principal_of(state["principal"])
            payload = once.marked({"token": token_id, "event": "revoked", "by": self.writer.by(caller)})
            draft = Draft(id=uuid7(), kind="token", payload=payload, about=holder.person)
            return Append(tenant=caller.tenant, drafts=(draft,), reads=((name, version),))

        entry, _ = await self.writer.write(once, build)
        return entry

    def all(self, tenant: str) -> Iterator[dict[str, JSON]]:
        """Every token of a tenant, without its hash, in the order of their making; of sessions those that go on."""
        reader, after = self.writer.runtime.reader, _PREFIX
        now = self.writer.runtime.now(tenant)
        while True:
            _, rows = reader.projected(tenant, "objects", (after,))
            for name, _, state in rows:
                if not str(name).startswith(_PREFIX):
                    return
                after = str(name)
                told = tokens.describe(after.removeprefix(_PREFIX), orjson.loads(cast(bytes, state)))
                if told["role"] != "learner-session" or now < str(told["expires_at"]):
                    yield told
            if not rows:
                return
