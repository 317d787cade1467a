"""A service with people, decisions and one archive of a person, made once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.reports.archives import Archive, make
from tests.service.conftest import new_service, service, template
from tests.service.running import Service, export, instant

__all__ = ["new_service", "service", "template"]

ODD = ("=cmd|' /C calc'!A0", "@x", "-1+1", "'=quoted", " =spaced", "\uff1dwide", "+1")
UNKNOWN = ("nobody", "\t=x", "\r\n@y", 'a"b,c', "zero\u200b=", "\u200b=1")


@pytest.fixture(scope="session")
def story(service: Service) -> Service:
    """People who were trained, decided about, waived and revoked; and some whose IDs are formulas."""
    for user in ("ada", "bo", "cy", *ODD):
        service.call(
            "admin", "PUT", f"/v1/subjects/{quote(user, safe='')}", {"persona": "engineers", "customer": "acme"}
        )
    service.person("dee", persona="security")
    service.train("ada")
    service.train("dee")
    service.train(ODD[0])
    assert service.decide("ada")["allow"]
    assert service.decide("ada", ticket="INC-7")["allow"]
    for user in ("bo", *ODD, *UNKNOWN):
        assert service.decide(user)["allow"] is (user == ODD[0])
    earned = service.passed("cy", "secure-data-export", "completed")["certifications"]
    waiver = {"user": "bo", "scope": "data-export", "reason": "test", "until": instant(timedelta(days=30))}
    service.call("admin", "POST", "/v1/waivers", waiver)
    service.call("admin", "POST", f"/v1/certifications/{earned[0]['id']}/revocation", {"reason": "test"})
    _approved(service)
    service.decide("dee", ticket="INC-7")
    service.call("gateway", "GET", "/v1/is-certified?user=ada&scope=data-export")
    return service


def _approved(service: Service) -> None:
    """A decision across customers that cites two approvals."""
    asked = export("ada", customer="other", ticket="INC-7")
    cited = [service.call(f"user:{who}", "POST", "/v1/approvals", asked)["approval_id"] for who in ("bo", "cy")]
    service.decide("ada", customer="other")
    asked["context"]["approvals"] = cited
    service.call("gateway", "POST", "/v1/decisions", asked)


@pytest.fixture(scope="session")
def archive(story: Service, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The archive of one person over the whole log; copied by whoever changes it."""
    return make(story, tmp_path_factory.mktemp("archive") / "ada", subjects=("ada",))


@pytest.fixture
def copied(archive: Archive, tmp_path: Path) -> Archive:
    """A copy to change."""
    return archive.copy(tmp_path / "copy")
