"""Prior learning, brought in: what people passed elsewhere, marked as imported for ever.

A whole file is checked before its first row is written, and every mistake is told with its row and field. Rows are then
recorded one by one; a row that was brought in before is recognised by its content, so a file can be sent again.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from engine.access.caller import Caller
from engine.bundling.catalogue import Catalogue
from engine.entries.writer import Once
from engine.errors import BadRequest, FieldError
from engine.runtime import Runtime
from engine.training.results import Recorded, Result, Results
from ledger import instants
from ledger.model import JSON, Person

FIELDS = ("user", "module", "version", "tier", "passed_at", "reason", "provenance")
MOST_ROWS = 10_000
MOST_BYTES = 4 * 1024 * 1024
_TIERS = ("completed", "proficient")
_SEMVER = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})")
_TEXT_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Imports:
    """Brings in prior learning."""

    runtime: Runtime
    results: Results

    async def bring_in(self, rows: list[dict[str, JSON]], caller: Caller, key: str | None) -> list[Recorded]:
        """Record rows of prior learning; raises BadRequest with every mistake, before anything is written."""
        checked = self.check(rows, caller.tenant)
        recorded = []
        for number, (row, result) in enumerate(zip(rows, checked, strict=True)):
            request: JSON = {"import": row}
            # Without a key of the caller's, the row is its own: the same row twice is one fact.
            once = (
                Once.of(caller, f"{key}/{number}", request)
                if key
                else Once.of(caller, f"import/{_natural(row)}", request)
            )
            recorded.append(await self.results.record(result, once))
        return recorded

    def check(self, rows: list[dict[str, JSON]], tenant: str) -> list[Result]:
        """Turn rows into results, or raise BadRequest that names each wrong row and field."""
        if not 0 < len(rows) <= MOST_ROWS:
            raise BadRequest("nothing to import" if not rows else f"at most {MOST_ROWS} rows at once")
        catalogue = self.runtime.active(tenant).catalogue
        now = self.runtime.now(tenant)
        errors: list[FieldError] = []
        results = []
        for number, row in enumerate(rows):
            wrong = list(_wrong(row, catalogue, now))
            user = row.get("user")
            if isinstance(user, str) and self.runtime.ref(tenant, Person(type="user", id=user)) is None:
                wrong.append(("user", "is not in the directory: add the person first"))
            errors += [FieldError(f"/results/{number}/{field}", detail) for field, detail in wrong]
            if not wrong:
                results.append(_result(row, catalogue))
        if errors:
            raise BadRequest("nothing was imported: mend these places and send it again", tuple(errors[:200]))
        return results


def read_csv(text: str) -> list[dict[str, JSON]]:
    """Rows of a CSV with a header line; raises BadRequest with the line where it does not fit."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    rows: list[dict[str, JSON]] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        if sorted(header) != sorted(FIELDS):
            raise BadRequest(f"line 1: expected the columns {', '.join(FIELDS)}, got {', '.join(header) or 'nothing'}")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise BadRequest(f"line {reader.line_num}: expected {len(header)} cells, got {len(cells)}")
            rows.append(dict(zip(header, (c.strip() for c in cells), strict=True)))
    except csv.Error as exc:
        raise BadRequest(f"line {reader.line_num}: {exc}") from exc
    return rows


def _wrong(row: dict[str, JSON], catalogue: Catalogue, now: str) -> list[tuple[str, str]]:
    found = [(f, "is not a known field") for f in row if f not in FIELDS]
    texts: dict[str, str] = {}
    for field in FIELDS:
        value = row.get(field)
        if not isinstance(value, str) or not value.strip() or len(value) > _TEXT_LIMIT:
            found.append((field, f"must be a text of 1 to {_TEXT_LIMIT} characters"))
        else:
            texts[field] = value
    module = catalogue.module(texts["module"]) if "module" in texts else None
    if "module" in texts and module is None:
        found.append(("module", f"there is no module {texts['module']} in the source"))
    if "version" in texts and not _SEMVER.fullmatch(texts["version"]):
        found.append(("version", "must be a semantic version such as 1.0.0"))
    if "tier" in texts and texts["tier"] not in _TIERS:
        found.append(("tier", f"must be one of {', '.join(_TIERS)}"))
    elif "tier" in texts and module and _TIERS.index(texts["tier"]) > _TIERS.index(module.tier):
        found.append(("tier", f"the module {module.id} can prove {module.tier} at most"))
    if "passed_at" in texts and not instants.is_instant(texts["passed_at"]):
        found.append(("passed_at", "must be an instant such as 2026-01-31T09:00:00.000Z"))
    elif "passed_at" in texts and texts["passed_at"] > now:
        found.append(("passed_at", "must not be in the future"))
    return found


def _result(row: dict[str, JSON], catalogue: Catalogue) -> Result:
    text = {field: str(row[field]) for field in FIELDS}
    module = catalogue.module(text["module"])
    assert module is not None
    return Result(
        person=Person(type="user", id=text["user"]),
        module=text["module"],
        version=text["version"],
        tier=text["tier"],
        passed_at=text["passed_at"],
        source="import",
        reason=text["reason"],
        provenance=text["provenance"],
        digest=module.digest if text["version"] == module.version else None,
    )


def _natural(row: dict[str, JSON]) -> str:
    return "\x1f".join(str(row[f]) for f in FIELDS)
