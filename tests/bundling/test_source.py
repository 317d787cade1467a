"""A mistake in the source is told with file, line, field and what to do; all of them at once."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from engine.bundling.errors import Invalid
from engine.bundling.folder import digest, read
from engine.bundling.source import load_source, read_source
from ledger import canonical

COMPANYOS = Path(__file__).parents[2] / "bundles" / "companyos"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The real source, to be spoiled."""
    folder = tmp_path / "source"
    shutil.copytree(COMPANYOS, folder)
    return folder


def test_the_real_source_is_in_order() -> None:
    """Every name resolves, and the derived awards name what a pass can reach."""
    data = load_source(COMPANYOS).data
    awards = data["awards"]
    assert isinstance(awards, dict)
    assert awards["export-scenario"] == {
        "scopes": ["data-export"],
        "modules": ["export-scenario", "secure-data-export"],
    }
    assert isinstance(awards["escalation"], dict)
    assert awards["escalation"]["scopes"] == ["prod-change"]
    assert awards["feature-flags"] == {"scopes": [], "modules": ["feature-flags"]}


CASES = {
    "unknown module in a track": (
        "tracks.yaml",
        "module: escalation,",
        "module: escalatoin,",
        "modules.3.module",
        "no module escalatoin",
        "escalation?",
    ),
    "tier that the module cannot reach": (
        "tracks.yaml",
        "{module: escalation, tier: completed}",
        "{module: escalation, tier: proficient}",
        "modules.3.tier",
        "can prove completed at most",
        "ask for less",
    ),
    "module listed twice": (
        "tracks.yaml",
        "module: escalation,",
        "module: incident-response,",
        "modules.3",
        "listed twice",
        "keep one",
    ),
    "unknown tier": ("tracks.yaml", "tier: proficient", "tier: master", "tier", "'completed' or 'proficient'", ""),
    "unknown persona": (
        "tracks.yaml",
        "persona: operations",
        "persona: operators",
        "persona",
        "no persona",
        "operations?",
    ),
    "level that contradicts the ID": (
        "tracks.yaml",
        "level: core",
        "level: advanced",
        "level",
        "is not the level",
        "equal",
    ),
    "a duration in another unit": (
        "scopes.yaml",
        "valid: P12M",
        "valid: 12 months",
        "data-export.valid",
        "match pattern",
        "expected",
    ),
    "another renewal": (
        "scopes.yaml",
        "renewal: completion",
        "renewal: whenever",
        "data-export.renewal",
        "'completion', 'expiry' or 'calendar'",
        "",
    ),
    "a calendar without its day": (
        "scopes.yaml",
        "renewal: completion",
        "renewal: calendar",
        "data-export",
        "takes `calendar` and `min_active`",
        "",
    ),
    "a day that not every year has": (
        "scopes.yaml",
        "renewal: completion",
        "renewal: calendar\n  calendar: 02-29\n  min_active: P60D",
        "data-export.calendar",
        "not a day of every year",
        "",
    ),
    "a window that a reminder misses": (
        "scopes.yaml",
        "renewal_window: P30D",
        "renewal_window: P14D",
        "data-export.renewal_window",
        "shorter than P30D",
        "",
    ),
    "take without a part": (
        "scopes.yaml",
        "{module: secure-data-export, tier",
        "{tier",
        "takes.0",
        "name either a module or a track",
        "",
    ),
    "unknown track": (
        "scopes.yaml",
        "operations/core",
        "operation/core",
        "takes.0.track",
        "no track",
        "operations/core?",
    ),
    "missing field": ("scopes.yaml", "  within_parts: P30D\n", "", "within_parts", "Field required", ""),
    "mistyped key": (
        "scopes.yaml",
        "within_parts: P30D",
        "within_part: P30D",
        "within_part",
        "not permitted",
        "within_parts?",
    ),
    "key twice": ("actions.yaml", "prod-change:", "data-export:", "data-export", "is there twice", "keep one"),
    "an ID that is none": ("actions.yaml", "prod-change:", "Prod_Change:", "Prod_Change", "match pattern", "expected"),
    "a number where text is meant": (
        "source.yaml",
        "version: 1.0.0",
        "version: 1.0",
        "version",
        "kind that is not used",
        "quotes",
    ),
    "not a version": ("source.yaml", "version: 1.0.0", "version: one", "version", "match pattern", "expected"),
    "class of a column": (
        "exports.yaml",
        "api_key: secret",
        "api_key: hidden",
        "api_key",
        "'public', 'personal' or 'secret'",
        "",
    ),
    "an alias": (
        "source.yaml",
        "title: CompanyOS",
        "title: &a CompanyOS\nother: *a",
        "",
        "uses an alias",
        "write the value",
    ),
    "broken YAML": ("source.yaml", "title: CompanyOS", "title: [", "", "expected", ""),
    "a tab": ("source.yaml", "title: CompanyOS", "title:\n\tCompanyOS", "", "cannot start any token", ""),
    "a date": ("source.yaml", "title: CompanyOS", "title: !!python/object:x {}", "title", "Input should be", ""),
    "unknown policy": (
        "modules/escalation/module.yaml",
        "POL-INC-001",
        "POL-INC-009",
        "policies.0",
        "no policy POL-INC-009",
        "POL-INC-001?",
    ),
    "unknown runbook": (
        "modules/escalation/module.yaml",
        "RB-ESCALATION",
        "RB-ASK",
        "runbooks.0",
        "no runbook RB-ASK",
        "define it",
    ),
    "unknown scope": ("modules/escalation/module.yaml", "[prod-change]", "[prod]", "scopes.0", "no scope prod", ""),
    "unknown kind": ("modules/escalation/module.yaml", "micro_lesson", "video", "kind", "'course'", ""),
    "recertify without a day": (
        "modules/escalation/module.yaml",
        "minutes: 4",
        "minutes: 4\nrecertify: {below: 2, by: soon}",
        "recertify.by",
        "match pattern",
        "",
    ),
    "recertify by a day that is none": (
        "modules/escalation/module.yaml",
        "minutes: 4",
        "minutes: 4\nrecertify: {below: 1, by: 2027-02-30T00:00:00.000Z}",
        "recertify.by",
        "no such instant",
        "",
    ),
    "recertify to a version that is not there": (
        "modules/escalation/module.yaml",
        "minutes: 4",
        "minutes: 4\nrecertify: {below: 2, by: 2027-02-20T00:00:00.000Z}",
        "recertify.below",
        "the module is at 1.0.0",
        "1 at most",
    ),
    "digits that the rules cannot read": (
        "scopes.yaml",
        "valid: P12M",
        "valid: P1٢M",
        "data-export.valid",
        "match pattern",
        "expected",
    ),
    "an octal number": (
        "modules/escalation/module.yaml",
        "minutes: 4",
        "minutes: 012",
        "minutes",
        "not a plain number",
        "quotes",
    ),
    "a lone surrogate": ("source.yaml", "title: CompanyOS", 'title: "\\ud800"', "title", "unicode", ""),
    "levels without end": (
        "source.yaml",
        "title: CompanyOS",
        "title: " + "[" * 9000 + "]" * 9000,
        "",
        "deeper",
        "flat",
    ),
    "more bytes than a person reads": (
        "source.yaml",
        "title",
        "# " + "x" * 2**20 + "\ntitle",
        "",
        "is larger",
        "split",
    ),
    "a destination twice": (
        "exports.yaml",
        "s3://exports-us",
        "s3://exports-eu",
        "destinations.2",
        "listed twice",
        "keep one",
    ),
    "no destination at all": (
        "exports.yaml",
        'destinations:\n  - {id: "warehouse://analytics", title: Analytics warehouse}\n',
        "destinations: []\nothers:\n",
        "destinations",
        "at least 1 item",
        "",
    ),
    "a part twice": (
        "scopes.yaml",
        "{module: export-scenario, tier: proficient}",
        "{module: secure-data-export, tier: completed}",
        "data-export.takes.1",
        "listed twice",
        "keep one",
    ),
    "a policy twice": (
        "modules/escalation/module.yaml",
        "[POL-INC-001]",
        "[POL-INC-001, POL-INC-001]",
        "policies.1",
        "listed twice",
        "keep one",
    ),
    "somebody else's track": (
        "personas.yaml",
        "core: engineers/core",
        "core: operations/advanced",
        "engineers.core",
        "is operations' advanced track",
        "of this persona",
    ),
    "a track with an empty list": (
        "tracks.yaml",
        "  modules:\n    - {module: secure-data-export, tier: completed}\n"
        "    - {module: export-scenario, tier: proficient}\n    - {module: rollback-simulation, tier: proficient}",
        "  modules: []",
        "engineers/advanced.modules",
        "at least 1 item",
        "",
    ),
    "tracks in a module": (
        "modules/escalation/module.yaml",
        "minutes: 4",
        "minutes: 4\ntracks: [operations/core]",
        "tracks",
        "not permitted",
        "tracks.yaml says",
    ),
    "a key of another file": (
        "modules/escalation/module.yaml",
        "minutes: 4",
        "minutes: 4\nlevel: core",
        "level",
        "not permitted",
        "remove it",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_its_place(copy: Path, case: str) -> None:
    """File, line, field, what is wrong and what to do."""
    file, before, after, field, message, hint = CASES[case]
    path = copy / file
    text = path.read_text("utf-8")
    assert before in text, "the case spoils nothing"
    path.write_text(text.replace(before, after, 1), "utf-8")
    findings = read_source(copy).findings
    found = [f for f in findings if f.file == file and field in f.field and message in f.message and hint in f.hint]
    assert found, [str(f) for f in findings]
    assert all(f.line > 0 for f in found)


def test_all_mistakes_come_at_once(copy: Path) -> None:
    """Missing files, stray files, and mistakes in several files, sorted."""
    (copy / "runbooks.yaml").unlink()
    (copy / "polices.yaml").write_text("{}")
    (copy / "exports.yaml").write_bytes(b"\xff\xfe")
    text = (copy / "scopes.yaml").read_text("utf-8")
    (copy / "scopes.yaml").write_text(text.replace("P12M", "P0M").replace("P9M", "P9Y"), "utf-8")
    with pytest.raises(Invalid) as refused:
        load_source(copy)
    findings = refused.value.findings
    assert {"runbooks.yaml", "polices.yaml", "exports.yaml", "scopes.yaml"} <= {f.file for f in findings}
    assert sum(f.file == "scopes.yaml" and "valid" in f.field for f in findings) == 2
    assert findings == sorted(findings)
    assert any("policies.yaml?" in f.hint for f in findings)


@pytest.mark.parametrize("odd", ["a link", "hidden", "a pipe", "a name that is none"])
def test_a_module_is_plain_files(copy: Path, odd: str) -> None:
    """Its digest is over all of its files, so there is none that a reviewer would not see."""
    folder = copy / "modules" / "escalation"
    if odd == "a link":
        (folder / "notes.md").symlink_to(copy / "source.yaml")
    elif odd == "hidden":
        (folder / ".module.yaml.swp").write_text("x")
    elif odd == "a pipe":
        os.mkfifo(folder / "pipe")
    else:
        (folder / "\udcff.md").write_text("x")
    (finding,) = read_source(copy).findings
    assert finding.file == "modules/escalation/module.yaml"
    assert "plain files" in finding.hint


def test_a_digest_is_over_every_file(tmp_path: Path) -> None:
    """The sorted list of (path, SHA-256), by the path's text and whatever order the disk has."""
    folder = tmp_path / "escalation"
    (folder / "media").mkdir(parents=True)
    for name in ("media/a.txt", "media-b.txt", "module.yaml"):
        (folder / name).write_text(name)
    listed = [
        [name, hashlib.sha256((folder / name).read_bytes()).hexdigest()]
        for name in ("media-b.txt", "media/a.txt", "module.yaml")
    ]
    assert digest(read(folder)) == hashlib.sha256(canonical.encode(listed)).hexdigest()
    before = digest(read(folder))
    (folder / "media" / "a.txt").write_text("changed")
    assert digest(read(folder)) != before


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With the setting that names it."""
    (finding,) = read_source(tmp_path / "none").findings
    assert "MUSTER_BUNDLE" in finding.hint
