"""The metrics: names and sums, as Prometheus's own parser reads them; of one process, and of several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.errors import SetupError
from engine.observing import numbers, stages
from engine.observing.metrics import Metrics
from engine.observing.stages import ORDER, Stages

MS = 1_000_000


def taken(*marks: tuple[stages.Stage, int]) -> Stages:
    """Stages that took so many nanoseconds, in this order."""
    made = Stages()
    at = made.began
    for stage, spent in marks:
        at += spent
        made.mark_at(stage, at)
    return made


def samples(metrics: Metrics) -> dict[str, float]:
    """Every sample of the exposition, by its name and the values of its labels in the order of their names."""
    return {
        " ".join([s.name, *(value for _, value in sorted(s.labels.items()))]): s.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for s in family.samples
    }


def test_stages_add_up_to_the_whole_and_repeats_are_added() -> None:
    """No time between the first mark and the last is nobody's."""
    made = taken(("read", 5), ("facts", 7), ("record", 2), ("facts", 11), ("answer", 1))
    assert made.spent() == {"read": 5, "facts": 18, "record": 2, "answer": 1}
    assert made.whole == 26
    made.mark(stages.COMMIT)
    assert sum(made.spent().values()) == made.whole > 26


def test_a_mark_is_never_before_the_last() -> None:
    """What somebody else saw earlier took no time here."""
    made = Stages()
    made.mark_at("opa_queue", made.began - 5)
    assert made.spent() == {"opa_queue": 0}
    assert Stages().whole == 0


def test_a_decision_is_counted_whole_and_by_stage() -> None:
    """Buckets hold what is at most their bound, exactly; sums are seconds."""
    metrics = Metrics()
    metrics.decided("default", "prod-change", "deny", "enforce", taken(("facts", MS), ("opa", MS + 1)), False, 3)
    shown = samples(metrics)
    assert shown["muster_decisions_total prod-change enforce default deny"] == 1
    assert shown["muster_decision_seconds_bucket 0.0025"] == 1
    assert shown["muster_decision_seconds_bucket 0.001"] == 0
    assert shown["muster_decision_seconds_sum"] == pytest.approx(0.002000001)
    assert shown["muster_decision_stage_seconds_bucket 0.001 facts"] == 1
    assert shown["muster_decision_stage_seconds_bucket 0.001 opa"] == 0
    assert shown["muster_decision_stage_seconds_bucket +Inf opa"] == 1
    assert shown["muster_decision_stage_seconds_count lease"] == 0
    assert shown["muster_opa_batch_size_bucket 4.0"] == 1
    assert shown["muster_opa_batch_size_bucket 2.0"] == 0
    assert shown["muster_opa_batch_size_sum"] == 3


def test_longer_than_every_bound_is_counted_too() -> None:
    """The last bucket has no bound."""
    metrics = Metrics()
    metrics.decided("default", "other", "deny", "enforce", taken(("opa", 9_000 * MS)), False, None)
    shown = samples(metrics)
    assert shown["muster_decision_seconds_bucket 5.0"] == 0
    assert shown["muster_decision_seconds_bucket +Inf"] == shown["muster_decision_seconds_count"] == 1
    assert shown["muster_opa_batch_size_count"] == 0


def test_what_else_is_counted() -> None:
    """Could-not-decide, leases, refusals and commits, each by its name; known labels are shown at 0."""
    metrics = Metrics()
    assert samples(metrics)["muster_leases_total stale"] == 0
    metrics.not_decided("default", "opa-down", taken(("opa", 5)))
    metrics.not_decided("default", "opa-down")
    metrics.undecided.labels("default", "stale").inc()
    metrics.decided("default", "x", "allow", "shadow", taken(("lease", 5)), True, None)
    metrics.lease("miss")
    metrics.refuse("rate")
    metrics.committed(7)
    shown = samples(metrics)
    assert shown["muster_undecided_total opa-down default"] == 2
    assert shown["muster_undecided_total stale default"] == 1
    assert shown["muster_decision_seconds_count"] == 2
    assert [shown[f"muster_leases_total {o}"] for o in ("hit", "miss", "stale", "forbidden")] == [1, 1, 0, 0]
    assert [shown[f"muster_refused_total {reason}"] for reason in ("rate", "overload")] == [1, 0]
    assert shown["muster_commit_entries_sum"] == 7
    assert shown["muster_left_out_total"] == 0


def test_gauges_are_read_when_asked_and_a_new_opa_goes_on_counting() -> None:
    """A gauge is what its owner says now; a counter whose owner begins anew does not fall."""
    metrics, held, restarts = Metrics(), [3], [2]
    metrics.watch("muster_leases", lambda: held[0])
    metrics.watch("muster_opa_restarts", lambda: restarts[0])
    metrics.watch("muster_facts_cache", lambda: 40, "hit")
    assert samples(metrics)["muster_leases"] == 3
    held[0], restarts[0] = 1, 1
    shown = samples(metrics)
    assert shown["muster_leases"] == 1
    assert shown["muster_opa_restarts_total"] == 3
    assert shown["muster_facts_cache_total hit"] == 40
    with pytest.raises(KeyError):
        metrics.watch("muster_unheard_of", lambda: 1)


def test_hostile_labels_are_shown_as_they_are() -> None:
    """Quotes, line ends and other scripts come back from the parser unchanged."""
    metrics, name = Metrics(), 'a"b\\\n}ü'
    metrics.decisions.labels("default", name, "allow", "enforce").inc(2)
    assert samples(metrics)[f"muster_decisions_total {name} enforce default allow"] == 2
    with pytest.raises(ValueError, match="4 labels"):
        metrics.decisions.labels("default")


def test_series_without_room_are_counted_as_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many series stop nothing, and are not silently missing."""
    metrics = Metrics()
    monkeypatch.setattr(numbers, "KEY_BYTES", 0)
    metrics.undecided.labels("default", "opa-down").inc(3)
    metrics.decisions.labels("default", "x", "allow", "enforce").inc()
    shown = samples(metrics)
    assert shown["muster_left_out_total"] == 4
    assert not any(name.startswith("muster_undecided") for name in shown)


WORKER = """
import sys, time
from pathlib import Path
from engine.observing.metrics import Metrics
from engine.observing.stages import Stages
metrics = Metrics(Path(sys.argv[1]))
metrics.watch("muster_leases", lambda: 10)
stages = Stages()
stages.mark("opa")
for _ in range(int(sys.argv[2])):
    metrics.decided("default", "x", "allow", "enforce", stages, False, 2)
metrics.refresh()
print("counted", flush=True)
sys.stdin.read()
"""


def worker(folder: Path, decisions: int) -> subprocess.Popen[str]:
    """A process that has counted so many decisions and 10 leases, and still runs."""
    made = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), str(decisions)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert made.stdout is not None
    assert made.stdout.readline() == "counted\n"
    return made


def end(processes: Iterable[subprocess.Popen[str]]) -> None:
    """Kill them, as a crash would."""
    for each in processes:
        each.send_signal(signal.SIGKILL)
        each.communicate()


def test_any_worker_shows_the_sum_of_all_and_no_death_lowers_it(tmp_path: Path) -> None:
    """Counters of a killed worker stay, its gauges go, and the next worker counts on in its file."""
    metrics = Metrics(tmp_path)
    metrics.watch("muster_leases", lambda: 1)
    metrics.decided("default", "x", "allow", "enforce", taken(("opa", 5)), False, 2)
    running = [worker(tmp_path, 100), worker(tmp_path, 1000)]
    try:
        shown = samples(metrics)
        assert shown["muster_decisions_total x enforce default allow"] == 1101
        assert shown["muster_decision_stage_seconds_count opa"] == 1101
        assert shown["muster_opa_batch_size_sum"] == 2202
        assert shown["muster_leases"] == 21
        end(running[1:])
        shown = samples(metrics)
        assert shown["muster_decisions_total x enforce default allow"] == 1101
        assert shown["muster_leases"] == 11
        running[1] = worker(tmp_path, 10)
        shown = samples(metrics)
        assert shown["muster_decisions_total x enforce default allow"] == 1111
        assert shown["muster_leases"] == 21
        assert len(list(tmp_path.iterdir())) == 3
    finally:
        end(running)


def test_who_leaves_in_order_is_taken_over_with_its_counts(tmp_path: Path) -> None:
    """After `close` the counts stand and the gauges are gone."""
    first = Metrics(tmp_path)
    first.watch("muster_opa_restarts", lambda: 5)
    first.watch("muster_leases", lambda: 5)
    first.refresh()
    first.close()
    second = Metrics(tmp_path)
    second.watch("muster_opa_restarts", lambda: 1)
    shown = samples(second)
    assert shown["muster_opa_restarts_total"] == 6
    assert shown["muster_leases"] == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_worker_held_is_not_held_by_its_successor(tmp_path: Path) -> None:
    """Its file is taken over with its counts, and with its gauges at 0 until somebody says what they are."""
    end([worker(tmp_path, 5)])
    shown = samples(Metrics(tmp_path))
    assert shown["muster_decisions_total x enforce default allow"] == 5
    assert shown["muster_leases"] == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_a_strangers_file_is_neither_read_nor_written(tmp_path: Path) -> None:
    """Only files of this layout count."""
    (tmp_path / "x.numbers").write_bytes(b"no numbers")
    (tmp_path / "y.numbers").write_bytes(b"\0" * numbers._SIZE)
    metrics = Metrics(tmp_path)
    assert samples(metrics)["muster_left_out_total"] == 0
    assert (tmp_path / "x.numbers").read_bytes() == b"no numbers"


def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    """With its name in the sentence."""
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="file"):
        Metrics(tmp_path / "file")


def test_every_stage_has_its_histogram() -> None:
    """The stages that may be marked are those that are shown."""
    metrics = Metrics()
    metrics.decided("default", "x", "allow", "enforce", taken(*((stage, 1) for stage in ORDER)), False, None)
    shown = samples(metrics)
    assert [shown[f"muster_decision_stage_seconds_count {stage}"] for stage in ORDER] == [1] * 9
