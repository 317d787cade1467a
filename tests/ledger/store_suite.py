"""What any store must do. A store's test file brings a fixture `store` and takes everything from here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger import entry, errors, instants, merkle
from ledger.canonical import JSON
from ledger.ids import uuid7
from ledger.model import Append, NewPerson, Person, unknown_object
from ledger.verify import verify
from tests.ledger.builders import (
    ANN,
    BOB,
    BY,
    REVISION,
    START,
    TENANT,
    Store,
    activation,
    certification,
    decision,
    draft,
    joins,
    key_of,
    name_of,
    one,
    ref_of,
    result,
    subject,
)


def is_whole(store: Store) -> bool:
    """Whether the verifier finds nothing in any tenant."""
    return all(verify(store.reader, tenant).ok for tenant in store.reader.tenants())


def test_an_empty_store_has_no_tenant(store: Store) -> None:
    """A store without entries answers with the empty tree."""
    assert store.reader.tenants() == []
    head = store.reader.head(TENANT)
    assert (head.size, head.root, head.newest_at, head.active_revision) == (0, merkle.EMPTY_ROOT, None, None)
    assert store.reader.entry(TENANT, uuid7()) is None
    assert store.reader.entry_at(TENANT, 0) is None
    assert store.ledger.now(TENANT) == START


def test_a_log_begins_with_an_activation(store: Store) -> None:
    """Any other first entry is refused and makes no tenant."""
    with pytest.raises(errors.UnknownTenant):
        store.append(joins(ANN))
    assert store.reader.tenants() == []
    assert store.begin().index == 0
    assert store.reader.head(TENANT).active_revision == REVISION


def test_an_entry_is_what_the_format_says(store: Store) -> None:
    """Header, commitment, tag and root can be computed from what is read back."""
    store.begin()
    receipt = store.append(joins(ANN, {"active": True}))[0]
    found = store.reader.entry(TENANT, receipt.id)
    assert found is not None
    assert found == store.reader.entry_at(TENANT, 1)
    header = entry.parse_header(found.header)
    assert (found.id, found.at, found.kind, found.tenant) == (receipt.id, START, "subject", TENANT)
    assert header.tag == entry.tag(key_of(ANN), receipt.id)
    assert found.salt is not None
    assert found.payload is not None
    assert header.commitment == entry.commitment(found.salt, found.payload)
    assert found.about == ANN
    assert found.value["ref"] == ref_of(ANN)
    leaves = [merkle.leaf_hash(each.header) for each in store.reader.entries(TENANT, 0, 2)]
    assert store.reader.head(TENANT).root == merkle.root_of(leaves)


def test_a_duplicate_answers_with_the_first_receipts(store: Store) -> None:
    """Sent again with the same payload, an append writes nothing and answers as at first."""
    store.begin()
    append = joins(ANN)
    first = store.append(append)
    store.clock.run(60)
    again = store.append(append)
    assert again == tuple(replace(receipt, duplicate=True) for receipt in first)
    assert store.reader.head(TENANT).size == 2
    store.reopen()
    assert store.append(append) == again


def test_the_same_id_with_another_payload_is_a_conflict(store: Store) -> None:
    """Identity is ID and payload; a mix of old and new drafts is a conflict as well."""
    store.begin()
    store.append(joins(ANN))
    first = result(ANN)
    store.append(one(first))
    other = replace(first, payload={**first.payload, "module": "m2"})
    with pytest.raises(errors.Conflict):
        store.append(one(other))
    with pytest.raises(errors.Conflict):
        store.append(one(first, result(ANN)))
    assert store.reader.head(TENANT).size == 3


def test_people_get_their_ref_once(store: Store) -> None:
    """A second first entry is stale; a later entry changes the directory as a whole."""
    store.begin()
    assert store.reader.person(TENANT, ANN) is None
    store.append(joins(ANN, {"active": True, "persona": "engineer"}))
    assert store.reader.person(TENANT, ANN) == ref_of(ANN)
    assert store.reader.key(TENANT, ANN) == key_of(ANN)
    with pytest.raises(errors.Stale) as stale:
        store.append(one(subject(ANN)))
    assert stale.value.what == unknown_object(ANN)
    with pytest.raises(errors.Stale):
        store.append(joins(ANN))
    store.append(one(subject(ANN, {"active": False}, first=False)))
    version, state = store.reader.objects(TENANT, [name_of(ANN)])[name_of(ANN)]
    assert version == 2
    assert isinstance(state, dict)
    assert state["directory"] == {"active": False}
    assert is_whole(store)


def test_a_first_entry_must_bring_ref_and_key(store: Store) -> None:
    """A person without a key, or with another one than committed to, or a taken ref, is malformed."""
    store.begin()
    with pytest.raises(errors.Malformed):
        store.append(one(subject(ANN, first=False)))
    wrong = NewPerson(ref=ref_of(ANN), key=key_of(BOB))
    with pytest.raises(errors.Malformed):
        store.append(one(replace(subject(ANN), new_person=wrong)))
    store.append(joins(ANN))
    thief = subject(BOB)
    stolen = replace(
        thief,
        payload={**thief.payload, "ref": ref_of(ANN)},
        new_person=NewPerson(ref=ref_of(ANN), key=key_of(BOB)),
    )
    with pytest.raises(errors.Malformed):
        store.append(one(stolen))


def test_entries_about_unknown_people_have_no_tag(store: Store) -> None:
    """They are found by the ID given, and their read goes stale when the person joins."""
    store.begin()
    reads = ((unknown_object(BOB), -1),)
    receipt = store.append(decision(BOB, now=store.ledger.now(TENANT), reads=reads))[0]
    found = store.reader.entry(TENANT, receipt.id)
    assert found is not None
    assert entry.parse_header(found.header).tag is None
    assert found.about == BOB
    store.append(joins(BOB))
    with pytest.raises(errors.Stale) as stale:
        store.append(decision(BOB, now=store.ledger.now(TENANT), reads=reads))
    assert stale.value.what == unknown_object(BOB)
    assert is_whole(store)


def test_an_unknown_persons_type_may_hold_a_slash(store: Store) -> None:
    """The name of an unknown person can be told from every other one's."""
    store.begin()
    store.append(joins(Person("user", "x/y")))
    odd = Person("user/x", "y")
    store.append(decision(odd, now=store.ledger.now(TENANT), reads=((unknown_object(odd), -1),)))
    assert is_whole(store)


def test_reads_that_moved_are_stale(store: Store) -> None:
    """A record is refused when an object, the revision or the instant it leaned on has moved."""
    store.begin()
    store.append(joins(ANN))
    now = store.ledger.now(TENANT)
    store.append(decision(ANN, now=now, reads=((name_of(ANN), 1),)))
    store.append(one(result(ANN)))
    for append, what in [
        (decision(ANN, now=now, reads=((name_of(ANN), 1),)), name_of(ANN)),
        (decision(ANN, now=now, reads=(("approval/" + uuid7(), 0),)), None),
        (decision(ANN, now=now, revision="b" * 64), "revision"),
        (decision(ANN, now=now, valid_until=now), "valid_until"),
        (decision(ANN, now="2026-11-23T11:59:57.999Z"), "now"),
        (decision(ANN, now="2026-11-23T12:00:00.001Z"), "now"),
    ]:
        with pytest.raises(errors.Stale) as stale:
            store.append(append)
        assert what is None or stale.value.what == what
    store.append(decision(ANN, now="2026-11-23T11:59:58.000Z", reads=((name_of(ANN), 3),)))
    assert store.reader.head(TENANT).size == 5
    assert is_whole(store)


def test_an_append_is_whole_or_not_at_all(store: Store) -> None:
    """One wrong draft keeps the others out, and the neighbours of a refused append commit."""
    store.begin()
    good = joins(ANN)
    bad = one(subject(BOB), draft("token", {"token": "t", "event": "revoked", "by": BY}))
    futures = [store.ledger.submit(append) for append in (bad, good, bad)]
    with pytest.raises(errors.Malformed):
        futures[0].result(timeout=20)
    assert futures[1].result(timeout=20)[0].index == 1
    with pytest.raises(errors.Malformed):
        futures[2].result(timeout=20)
    assert store.reader.person(TENANT, BOB) is None
    assert is_whole(store)


def test_drafts_of_one_append_see_each_other(store: Store) -> None:
    """A new person, their result and its certifications go in together, in order and adjacent."""
    store.begin()
    passed = result(ANN)
    now = store.ledger.now(TENANT)
    receipts = store.append(
        one(
            subject(ANN),
            passed,
            certification(ANN, of=passed, reads=[[name_of(ANN), 1]], now=now),
            certification(ANN, of=passed, reads=[[name_of(ANN), 1]], now=now, tier="certified"),
        )
    )
    assert [receipt.index for receipt in receipts] == [1, 2, 3, 4]
    version, state = store.reader.objects(TENANT, [name_of(ANN)])[name_of(ANN)]
    assert version == 4
    assert isinstance(state, dict)
    assert isinstance(state["scopes"], dict)
    scope = state["scopes"]["data-export"]
    assert isinstance(scope, dict)
    assert isinstance(scope["tiers"], dict)
    assert sorted(scope["tiers"]) == ["certified", "completed"]
    assert is_whole(store)


def test_an_idempotency_key_is_taken_once(store: Store) -> None:
    """Another entry under a taken key is refused with the first one's ID and request."""
    store.begin()
    store.append(joins(ANN))
    taken: JSON = {"key": "1" * 64, "request": "2" * 64}
    first = result(ANN)
    first = replace(first, payload={**first.payload, "idempotency": taken})
    store.append(one(first))
    assert store.reader.idempotent(TENANT, "1" * 64) == ("2" * 64, first.id)
    assert store.append(one(first))[0].duplicate
    with pytest.raises(errors.IdempotencyConflict) as conflict:
        store.append(one(replace(first, id=uuid7())))
    assert (conflict.value.entry_id, conflict.value.request) == (first.id, "2" * 64)
    assert store.reader.idempotent(TENANT, "3" * 64) is None
    assert is_whole(store)


def test_tenants_do_not_see_each_other(store: Store) -> None:
    """People, objects, IDs, idempotency keys and the active revision belong to one tenant."""
    store.begin("one")
    store.append(one(activation("b" * 64), tenant="two"))
    shared = subject(ANN)
    for tenant in ("one", "two"):
        assert store.append(one(shared, tenant=tenant))[0].index == 1
    assert store.reader.tenants() == ["one", "two"]
    assert store.reader.head("two").active_revision == "b" * 64
    assert store.reader.head("one").active_revision == REVISION
    assert store.reader.person("three", ANN) is None
    assert is_whole(store)


def test_a_refused_append_writes_nothing(store: Store) -> None:
    """After every kind of refusal the head is what it was."""
    store.begin()
    store.append(joins(ANN))
    before = store.reader.head(TENANT)
    huge = result(ANN)
    huge = replace(huge, payload={**huge.payload, "reason": "x" * (1 << 20)})
    for append, error in [
        (one(huge), errors.TooLarge),
        (one(), errors.Malformed),
        (one(replace(result(ANN), id="7")), errors.Malformed),
        (one(draft("gossip", {})), errors.Malformed),
        (one(activation("short")), errors.Malformed),
        (one(draft("result", {"n": 2**53}, about=ANN)), errors.CanonicalError),
        (one(draft("result", {"passed": True}, about=ANN)), errors.Malformed),
        (one(draft("decision", {"idempotency": {"key": "x"}})), errors.Malformed),
        (Append(tenant="no such\ntenant", drafts=(activation(),)), errors.Malformed),
        (Append(tenant=TENANT, drafts=(result(ANN),), now="today"), errors.Malformed),
    ]:
        with pytest.raises(error):
            store.append(append)
    assert store.reader.head(TENANT) == before


def test_at_never_decreases(store: Store) -> None:
    """A clock that is a little behind is held at the newest instant."""
    store.begin()
    store.clock.run(10)
    ahead = store.append(joins(ANN))[0].at
    store.clock.set_by(-1.5)
    assert store.ledger.now(TENANT) == ahead
    assert store.append(one(result(ANN)))[0].at == ahead
    assert is_whole(store)


def test_a_clock_that_is_behind_is_not_ready(store: Store) -> None:
    """More than 2 s behind the newest entry nothing is given out, but in another tenant."""
    store.begin()
    store.begin("other")
    store.clock.run(10)
    store.append(joins(ANN))
    store.clock.set_by(-2.001)
    for attempt in (lambda: store.ledger.now(TENANT), lambda: store.append(one(result(ANN)))):
        with pytest.raises(errors.NotReady):
            attempt()
    assert store.ledger.now("other")


@pytest.mark.parametrize("seconds", [5.001, -5.001])
def test_a_clock_that_was_moved_is_not_ready(store: Store, seconds: float) -> None:
    """Off the monotonic clock by more than 5 s, nothing is given out, forward or back."""
    store.begin()
    store.clock.run(3600)
    assert store.ledger.now(TENANT)
    store.clock.set_by(seconds)
    with pytest.raises(errors.NotReady):
        store.ledger.now(TENANT)
    store.clock.set_by(-seconds)
    assert store.ledger.now(TENANT)


def test_a_clock_adjustment_makes_time_count_anew(store: Store) -> None:
    """It is taken while not ready, may go back, and is the only entry that may."""
    store.begin()
    store.clock.set_by(4)
    poisoned = store.append(joins(ANN))[0].at
    store.reopen()
    store.clock.set_by(-3600)
    with pytest.raises(errors.NotReady):
        store.append(one(result(ANN)))
    to = instants.now_from(store.clock.wall)
    adjusted = draft("clock.adjusted", {"reason": "jump", "by": [BY, BY], "from": poisoned, "to": to})
    with pytest.raises(errors.Malformed):
        store.append(one(adjusted, result(ANN)))
    receipt = store.append(one(adjusted))[0]
    assert receipt.at == to < poisoned
    assert store.ledger.now(TENANT) == to
    store.append(one(result(ANN)))
    assert is_whole(store)


def test_what_was_submitted_before_close_is_committed(store: Store) -> None:
    """Closing waits for what is queued, and refuses what comes later."""
    store.begin()
    futures = [store.ledger.submit(joins(Person("user", str(number)))) for number in range(50)]
    ledger = store.ledger
    store.reopen()
    assert [future.result(timeout=0)[0].index for future in futures] == list(range(1, 51))
    with pytest.raises(errors.NotReady):
        ledger.submit(joins(ANN)).result(timeout=0)
    assert store.reader.head(TENANT).size == 51


def test_entries_are_read_in_ranges(store: Store) -> None:
    """A range crosses chunks, ends at the log's end and holds every entry once."""
    store.begin()
    now = store.ledger.now(TENANT)
    for future in [store.ledger.submit(decision(BOB, now=now)) for _ in range(400)]:
        future.result(timeout=20)
    assert [each.index for each in store.reader.entries(TENANT, 100, 9999)] == list(range(100, 401))
    assert [each.index for each in store.reader.entries(TENANT, 5, 7)] == [5, 6]
    assert list(store.reader.entries(TENANT, 7, 7)) == []


def test_objects_are_answered_by_name(store: Store) -> None:
    """Names that do not exist stand with -1; approvals, windows and tokens have their states."""
    store.begin()
    store.append(joins(ANN))
    approval = draft("approval", {"ref": ref_of(ANN), "request_digest": "d" * 64, "expires_at": START}, about=ANN)
    window = draft(
        "change_window", {"starts_at": START, "ends_at": START, "resources": [{"type": "service", "id": "s"}]}
    )
    issued = {"token": "t1", "event": "issued", "hash": "e" * 64, "role": "admin", "expires_at": START}
    token = draft("token", {**issued, "principal": {"type": "system", "id": "x"}, "by": BY})
    store.append(one(approval, window, token))
    names = [f"approval/{approval.id}", f"change_window/{window.id}", "token/t1", "token/t2"]
    found = store.reader.objects(TENANT, names)
    assert [found[name][0] for name in names] == [2, 3, 4, -1]
    assert found["token/t2"] == (-1, None)
    assert found[names[0]][1] == {
        "approver": ref_of(ANN),
        "request_digest": "d" * 64,
        "expires_at": START,
        "evidence": approval.id,
    }
    store.append(one(draft("token", {"token": "t1", "event": "revoked", "by": BY})))
    version, state = store.reader.objects(TENANT, ["token/t1"])["token/t1"]
    assert version == 5
    assert isinstance(state, dict)
    assert state["revoked_at"] == START
    assert is_whole(store)
