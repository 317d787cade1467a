"""What an archive says of itself: what is proved, what is not and why, and how it is checked."""

from __future__ import annotations

from dataclasses import dataclass

from engine.reports.query import Query
from engine.reports.selection import Selection


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence on completeness, and the limits of what is proved, a sentence each."""

    completeness: str
    limits: tuple[str, ...]


def of(query: Query, selection: Selection, *, complete: bool) -> Said:
    """What is to be said of an archive."""
    if complete:
        why = (
            "Every header of the range is here, and the person's key: each entry about the person is found by its tag,"
            " and each is opened."
        )
    elif query.person is not None:
        why = (
            "Not proved: the directory has no such person, and entries about unknown people carry no tag. The entries"
            " that were filed under this ID are opened; that there are no others is not shown."
        )
    else:
        why = (
            "Not proved: each entry here is in the log, and that no other fits the query is not shown. Scope, module,"
            " persona, decision and incident stand in payloads, so that every entry of the range would have to be"
            " opened. For one person over a time it can be proved: ask for --subject, --since and --until alone."
        )
    limits = [
        "An entry that was filed under another person when it was written is only noticed by whoever holds its ID.",
        "The signature says that the log's service was asked to sign this archive, and by whom stands in the log;"
        " that the rows are true to the log is shown by the proofs.",
    ]
    if complete and selection.first is not None and selection.first.index > selection.start:
        limits.append(
            f"The person became known with entry {selection.first.index}: entries about them before that carry no tag,"
            " so that those cannot be shown to be complete."
        )
    if selection.adjusted and (query.since is not None or query.until is not None):
        limits.append(
            "A clock was adjusted while this log was written, so that instants are not in the order of entries: the"
            " range is the smallest that holds every entry of the time asked for."
        )
    if selection.erased:
        limits.append(f"Of {selection.erased} entries that were leaned on the payload has been erased: header and proof"
                      " are here.")  # fmt: skip
    return Said(why, tuple(limits))


def readme(query: Query, said: Said, origin: str) -> str:
    """README.txt: for whoever is handed the folder and has never heard of Muster."""
    incident = _INCIDENT if query.incident is not None else ""
    limits = "".join(f"  - {_wrapped(limit)}\n" for limit in said.limits)
    return _TEXT.format(origin=origin, incident=incident, completeness=_wrapped(said.completeness), limits=limits)


def _wrapped(text: str, width: int = 100) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n    ".join(lines)


_TEXT = """\
Evidence from the log {origin}

This folder holds rows about training, certification and decisions, the entries of the log that they are made from, and
the proof that each of these entries is in the log. It contains personal data: treat it so.

  evidence.csv, evidence.json   the same rows, one for each result, certification, revocation, waiver and decision.
                                `type` is nearly always `user`: what kind of subject the ID is one of.
                                In the CSV an apostrophe stands before a cell that a spreadsheet would calculate.
  entries.ndjson                the entries, opened: header, payload and salt. A payload of null was erased.
                                A decision with `leans_on` was answered by the lease of that earlier one, which had
                                answered the same question: question, facts and answer of its row stand there.
  proofs.ndjson                 for each of them the hashes that lead to the checkpoint's root (RFC 6962)
  checkpoint, log.vkey          size and root of the log, signed (C2SP tlog-checkpoint), and the key that verifies it
  headers.bin, range.json,      only where one person is asked for over a time: every header of the range, and the key
  person.json                   by which the entries about the person are told from the others
  manifest.json, manifest.sig   the SHA-256 of every file, the query, the counts; signed by the log's key

Check it, without the service and offline:

  muster ledger verify FOLDER --key KEY        or, where only the verifier is installed:  muster-verify FOLDER --key KEY

KEY is the log's verifier key. Take it from elsewhere than from this folder: who can make up an archive can put a key of
their own beside it.

What is proved: that every entry here stands in the log that the key signed, unchanged; that each row says what its
entries say; that no file was changed, added or taken away.

Is it complete?
    {completeness}

What is not proved:
{limits}{incident}"""
_INCIDENT = """
This archive is about an incident. Its rows are the decisions whose context names the ID that was asked for (as ticket,
change, window, approval or any other field), and, for each person who was decided about, the certifications, results,
waivers and revocations that the decision saw: how they stood, at that instant, for the scopes that the gate asks for.
Who was involved without a decision about them is not in it.
"""
