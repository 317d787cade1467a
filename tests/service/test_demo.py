"""`make run` and `make demo`, as a newcomer runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.opa.binary import OpaBinary
from tests.demo.answers import document
from tests.service.running import ROOT, Service, environment


@pytest.fixture
def run(tmp_path: Path, opa_binary: OpaBinary) -> Callable[..., Service]:
    """Starts `muster serve --demo` on a home that is not there yet, with settings of the test's."""

    def start(**env: str) -> Service:
        home = tmp_path / "home"
        return Service(home=home, env=environment(home, opa_binary.path, **env), arguments=("serve", "--demo")).start()

    return start


@contextmanager
def stopping(service: Service) -> Iterator[Service]:
    """Stop a service at the end."""
    try:
        yield service
    finally:
        service.stop()


def demo(service: Service) -> subprocess.CompletedProcess[str]:
    """`make demo` against a service."""
    return subprocess.run(
        [sys.executable, "-m", "tests.demo.drive"],
        env={**service.env, "MUSTER_URL": service.url},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_the_demo_passes_twice_in_a_row(run: Callable[..., Service]) -> None:
    """On a home made by `make run`: as told, and as told again."""
    with stopping(run()) as service:
        for _ in range(2):
            done = demo(service)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr
            assert done.stdout.endswith("As told.\n")
        assert (service.home / "demo.env").stat().st_mode & 0o777 == 0o600


def test_the_demo_fails_where_a_rule_is_taken_out(run: Callable[..., Service], tmp_path: Path) -> None:
    """Against a policy whose destination condition is always met, step 7 is not as told."""
    policies = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", policies)
    gate = policies / "muster" / "gates" / "data-export" / "data-export.rego"
    text = gate.read_text("utf-8")
    rule = 'met contains "destination-allowlisted" if'
    assert rule in text
    before, after = text.split(rule, 1)
    _, _, rest = after.partition("\n\n")
    gate.write_text(f'{before}met contains "destination-allowlisted" if true\n\n{rest}', "utf-8")
    with stopping(run(MUSTER_POLICIES=str(policies))) as service:
        done = demo(service)
    assert done.returncode == 1
    assert "step 7" in done.stderr


def test_the_demo_fails_where_half_is_enough(run: Callable[..., Service], tmp_path: Path) -> None:
    """Against a source whose lesson is passed with 50 %, the failed quiz is not as told."""
    source = copied(tmp_path)
    about = source / "modules" / "secure-data-export" / "module.yaml"
    text = about.read_text("utf-8")
    assert "pass_mark: 80" in text
    about.write_text(text.replace("pass_mark: 80", "pass_mark: 50"), "utf-8")
    with stopping(run(MUSTER_BUNDLE=str(source))) as service:
        done = demo(service)
    assert done.returncode == 1
    assert "step 2" in done.stderr


def test_the_demo_fails_where_one_step_is_enough(run: Callable[..., Service], tmp_path: Path) -> None:
    """Against a source whose scenario is passed in one step, the scenario is not as told."""
    source = copied(tmp_path)
    (source / "modules" / "export-scenario" / "scenario.yaml").write_text(
        "start: only\nstates:\n  only:\n    outcome: "
        + next(iter(document("export-scenario", "module.yaml")["outcomes"]))
        + "\n    say: One step.\n    choices:\n      a: {text: Go, to: done}\n      b: {text: Stay, to: late}\n"
        "ends:\n  done: {passed: true, say: Done.}\n"
        "  late: {passed: false, say: Late., policy: POL-DA-003, read: {module: secure-data-export, slide: where}}\n",
        "utf-8",
    )
    shutil.rmtree(source / "modules" / "export-scenario" / "i18n")
    about = source / "modules" / "export-scenario" / "module.yaml"
    about.write_text(about.read_text("utf-8").replace("required: [en, de]", "required: [en]"), "utf-8")
    with stopping(run(MUSTER_BUNDLE=str(source))) as service:
        done = demo(service)
    assert done.returncode == 1
    assert "step 4" in done.stderr


def copied(tmp_path: Path) -> Path:
    """A copy of the source, to be changed."""
    source = tmp_path / "companyos"
    shutil.copytree(ROOT / "bundles" / "companyos", source)
    return source


def test_run_activates_what_is_configured_anew(run: Callable[..., Service], tmp_path: Path) -> None:
    """A second `make run` on the same home with another source: its revision decides, the first is kept."""
    with stopping(run()) as service:
        first = service.muster("policy", "list").stdout.split()[1]
    source = copied(tmp_path)
    exports = source / "exports.yaml"
    exports.write_text(exports.read_text("utf-8").replace("warehouse://analytics", "warehouse://other"), "utf-8")
    with stopping(run(MUSTER_BUNDLE=str(source))) as service:
        listed = [line.split()[1] for line in service.muster("policy", "list").stdout.splitlines()]
    assert listed[0] == first
    assert len(set(listed)) == 2
    assert all((service.home / "bundles" / f"{r}.tar.gz").exists() for r in listed)
