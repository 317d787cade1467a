"""`muster gateway config`: which gateways there are, of which files a configuration is made, and those files' text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from engine.errors import BadRequest
from engine.gateways import caddy, envoy, haproxy, nginx, traefik
from engine.gateways.text import filled
from engine.gateways.wishes import Wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A gateway: its files by the word that chooses one, and what makes their values from wishes."""

    files: Callable[[Wishes], Mapping[str, str]]
    """Word of a part to (name of the file, which is also its template's name)."""
    values: Callable[[Wishes], dict[str, str]]


KINDS: Final[Mapping[str, Kind]] = {
    "nginx": Kind(files=lambda _: {"main": "nginx.conf"}, values=nginx.values),
    "caddy": Kind(files=lambda _: {"main": "Caddyfile"}, values=caddy.values),
    "traefik": Kind(files=lambda _: {"main": "traefik.yml", "routes": traefik.ROUTES}, values=traefik.values),
    "haproxy": Kind(files=lambda _: {"main": "haproxy.cfg", "lua": haproxy.LUA}, values=haproxy.values),
    "envoy": Kind(files=lambda wishes: {"main": f"envoy-{wishes.over}.yaml"}, values=envoy.values),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a configuration."""

    part: str
    name: str
    text: str


def files(kind: str, wishes: Wishes) -> list[File]:
    """All files of a gateway's configuration, the main one first; raises BadRequest for what it cannot do."""
    if kind not in KINDS:
        raise BadRequest(f"no gateway {kind!r} is known: {', '.join(KINDS)}")
    known = KINDS[kind]
    values = known.values(wishes)
    values["command"] = " ".join(("muster gateway config", kind, *wishes.words))
    return [File(part=part, name=name, text=filled(name, values)) for part, name in known.files(wishes).items()]
