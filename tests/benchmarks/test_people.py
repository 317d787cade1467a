"""A home of many people that was made fast is one that the real thing takes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from benchmarks import workload
from benchmarks.processes import cores, ended_with_us
from benchmarks.servers import MUSTER, ROOT, environment, start_muster


def test_a_home_of_people(tmp_path: Path) -> None:
    """`ledger verify` and `replay` find nothing wrong, and nine of ten are allowed to export."""
    core, _ = cores(1)
    world = workload.make(tmp_path, 20, cores=core)
    with ended_with_us() as servers:
        muster = start_muster(world.home, cores=core, said=tmp_path / "log")
        servers.append(muster.server)
        with workload.changing(world, muster, rate=50) as changes:
            answers = [
                muster.call(world.gateway, "POST", "/v1/decisions", workload.asked(name))["allow"]
                for name in world.names
            ]
    assert answers == [number % 10 != 9 for number in range(20)]
    assert changes.taken_ms
    assert not changes.failures
    env = environment(world.home, "127.0.0.1:0")
    for command in ("ledger", "verify"), ("replay",):
        done = subprocess.run(
            [MUSTER, *command, "--json"], env=env, capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)
