"""Badges: a certification, or a course that was passed, as an Open Badges 3.0 credential; and whether one still holds.

A badge is never stored: it is made from its ledger entry, the same each time. A renewal is a new entry, and so a new
badge; the old one stays valid history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.content.site import Site
from engine.credentials.issuer import Issuer
from engine.credentials.status import LIST_SIZE, Revocations
from engine.errors import BadRequest, NotFound
from ledger import instants
from ledger.model import JSON, Entry
from ledger.store import Reader

CONTEXTS: list[JSON] = [
    "https://www.w3.org/ns/credentials/v2",
    "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json",
]


@dataclass(frozen=True, slots=True)
class Badges:
    """Makes badges, and checks them."""

    reader: Reader
    issuer: Issuer
    revocations: Revocations = field(default_factory=Revocations)

    def badge(self, entry_id: str, site: Site) -> str:
        """The badge of a certification or of a course's result; raises NotFound."""
        return self.issuer.sign(self.credential(self.entry(entry_id), site))

    def entry(self, entry_id: str) -> Entry:
        """The entry that a badge is about; raises NotFound."""
        entry = self.reader.entry(self.issuer.tenant, entry_id)
        if entry is None or entry.payload is None or entry.about is None or not _is_badge(entry):
            raise NotFound(
                f"there is no badge {entry_id}: badges are of certifications, and of courses that were passed"
            )
        return entry

    def credential(self, entry: Entry, site: Site) -> dict[str, JSON]:
        """The credential of an entry, with its registered claims."""
        value, issuer = entry.value, self.issuer
        about = entry.about
        assert about is not None
        ref = self.reader.person(issuer.tenant, about)
        issued, expires, achievement = _dates_and_achievement(entry, issuer, site)
        subject = f"urn:muster:person:{ref}"
        # The person's ID stands hashed, so that whoever knows it can check it, and nobody else reads it.
        salt = hashlib.sha256(f"muster/badge/{entry.id}".encode()).hexdigest()[:32]
        identity = hashlib.sha256(f"{about.id}{salt}".encode()).hexdigest()
        status = issuer.url("status", str(entry.index // LIST_SIZE))
        evidence: list[JSON] = [_evidence(issuer, source) for source in _sources(entry)]
        credential: dict[str, JSON] = {
            "@context": CONTEXTS,
            "id": issuer.url("credentials", entry.id),
            "type": ["VerifiableCredential", "OpenBadgeCredential"],
            "issuer": issuer.profile(),
            "validFrom": _seconds(issued),
            "name": achievement["name"],
            "credentialSubject": {
                "id": subject,
                "type": ["AchievementSubject"],
                "identifier": [
                    {
                        "type": "IdentityObject",
                        "hashed": True,
                        "identityHash": f"sha256${identity}",
                        "identityType": "systemId",
                        "salt": salt,
                    }
                ],
                "achievement": achievement,
            },
            "evidence": evidence,
            "credentialStatus": {
                "id": f"{status}#{entry.index % LIST_SIZE}",
                "type": "BitstringStatusListEntry",
                "statusPurpose": "revocation",
                "statusListIndex": str(entry.index % LIST_SIZE),
                "statusListCredential": status,
            },
            "iss": issuer.id,
            "jti": issuer.url("credentials", entry.id),
            "sub": subject,
            "nbf": instants.parse(issued) // 1000,
        }
        del value
        if expires is not None:
            credential |= {"validUntil": _seconds(expires), "exp": instants.parse(expires) // 1000}
        return credential

    def status_list(self, number: int, now: str) -> str:
        """A list of what was revoked, as a signed credential; raises NotFound for one that is not begun."""
        head = self.reader.head(self.issuer.tenant)
        if not 0 <= number * LIST_SIZE < max(1, head.size):
            raise NotFound(f"there is no status list {number}")
        url = self.issuer.url("status", str(number))
        credential: dict[str, JSON] = {
            "@context": CONTEXTS[:1],
            "id": url,
            "type": ["VerifiableCredential", "BitstringStatusListCredential"],
            "issuer": self.issuer.id,
            "validFrom": _seconds(now),
            "credentialSubject": {
                "id": f"{url}#list",
                "type": "BitstringStatusList",
                "statusPurpose": "revocation",
                "encodedList": self.revocations.encoded(self.reader, self.issuer.tenant, number, now),
            },
            "iss": self.issuer.id,
            "jti": url,
            "sub": f"{url}#list",
            "nbf": instants.parse(now) // 1000,
        }
        return self.issuer.sign(credential)

    def verify(self, token: str, now: str) -> dict[str, JSON]:
        """What a badge is worth now: `{standing, credential, entry}`; raises BadRequest if it is none of ours.

        standing  valid, expired, revoked, or gone (its entry was erased)
        """
        credential = self.issuer.read(token.strip())
        entry_id = str(credential.get("jti", "")).rpartition("/")[2]
        if credential.get("iss") != self.issuer.id or "OpenBadgeCredential" not in _types(credential):
            raise BadRequest("this was signed here, but it is no badge")
        entry = self.reader.entry(self.issuer.tenant, entry_id)
        if entry is None:
            raise BadRequest("this badge names an entry that is not in the log")
        standing = "valid"
        until = credential.get("validUntil")
        if entry.payload is None:
            standing = "gone"
        elif self.revocations.revoked(self.reader, self.issuer.tenant, entry.index, now):
            standing = "revoked"
        elif isinstance(until, str) and _seconds(now) >= until:
            standing = "expired"
        return {"standing": standing, "credential": credential, "entry": entry_id, "index": entry.index}


def _is_badge(entry: Entry) -> bool:
    if entry.kind == "certification":
        return True
    return entry.kind == "result" and entry.value["passed"] is True and entry.value["source"] == "course"


def _dates_and_achievement(entry: Entry, issuer: Issuer, site: Site) -> tuple[str, str | None, dict[str, JSON]]:
    value = entry.value
    if entry.kind == "certification":
        scope, tier = str(value["scope"]), str(value["tier"])
        title = site.title("en", "scopes", scope)
        parts = value["parts"]
        assert isinstance(parts, dict)
        passed = ", ".join(f"{module} {version}" for module, version in sorted(parts.items()))
        achievement: dict[str, JSON] = {
            "id": issuer.url("achievements", scope, tier),
            "type": ["Achievement"],
            "achievementType": "Certification",
            "name": f"{title}: {tier}",
            "description": f"Holds the tier {tier} of the scope {scope}, as the rules of its day asked.",
            "criteria": {"narrative": f"Passed: {passed}."},
            "tag": [scope, tier],
        }
        return str(value["issued_at"]), str(value["expires_at"]), achievement
    module = str(value["module"])
    return (
        str(value["occurred_at"]),
        None,
        {
            "id": issuer.url("achievements", "course", module),
            "type": ["Achievement"],
            "achievementType": "Course",
            "name": f"Course: {module}",
            "description": f"Completed every part of the course {module}, version {value['version']}.",
            "criteria": {"narrative": "Every lesson read, every walkthrough gone through, every quiz passed."},
            "tag": ["course", module],
        },
    )


def _sources(entry: Entry) -> Iterator[str]:
    """The entries that a badge rests on: its own, and the result that earned it."""
    yield entry.id
    earned = entry.value.get("for")
    if isinstance(earned, str):
        yield earned


def _evidence(issuer: Issuer, entry_id: str) -> JSON:
    return {
        "id": f"{issuer.base}/v1/ledger/entries/{entry_id}",
        "type": ["Evidence"],
        "name": f"Ledger entry {entry_id}",
        "narrative": f"Its inclusion proof: {issuer.base}/v1/ledger/proofs/inclusion?id={entry_id}",
    }


def _types(credential: dict[str, JSON]) -> list[JSON]:
    found = credential.get("type")
    return found if isinstance(found, list) else []


def _seconds(instant: str) -> str:
    """An instant as credentials write it: XML Schema, whole seconds."""
    return f"{instant[:19]}Z"
