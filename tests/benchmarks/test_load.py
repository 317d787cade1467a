"""The load generator, against a server that knows what it was asked: it tells what happened, and nothing else."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks import load, processes
from benchmarks.load import STAMP, Generator, Target
from benchmarks.machine import Refused


class Answers(BaseHTTPRequestHandler):
    """Answers 200 with what it was asked, but what is about `slow`, `refused` or `wrong`."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one write, or the second waits for an acknowledgement
    asked: list[str]
    slowly: threading.Event

    def do_POST(self) -> None:
        """One request."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append(body)
        if "slow" in body:
            self.slowly.wait(0.2)
        said = b"{}" if "wrong" in body else body.encode()
        self.send_response(503 if "refused" in body else 200)
        if "chunked" in body:
            self.send_header("Transfer-Encoding", "chunked")
            said = b"%x\r\n%b\r\n0\r\n\r\n" % (len(said), said)
        else:
            self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the class above
        """Say nothing."""


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """The generator, just built."""
    return Generator(load.build(tmp_path_factory.mktemp("load")), processes.cores(1)[1])


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server's address, and what it was asked."""
    asked: list[str] = []
    handler = type("Handler", (Answers,), {"asked": asked, "slowly": threading.Event()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{http.server_address[1]}", asked
        http.shutdown()
        thread.join()


def test_its_own_tests() -> None:
    """The generator's histogram tells quantiles within 1 %."""
    done = subprocess.run(["go", "test", "./..."], cwd=load.SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def target(address: str, folder: Path, bodies: list[str], expected: str = '"id"') -> Target:
    """A target with these bodies."""
    path = folder / "bodies"
    path.write_text("".join(f"{expected}\t{body}\n" for body in bodies))
    return Target(address, "/", path, ("X-Bench: yes",))


def test_each_body_once(generator: Generator, server: tuple[str, list[str]], tmp_path: Path) -> None:
    """In sequence every body is asked once, in whatever way the answer comes, and every answer is counted."""
    bodies = [json.dumps({"id": number, "how": ("chunked", "plain")[number % 2]}) for number in range(100)]
    found = generator.run(target(server[0], tmp_path, bodies), connections=4, seconds=30, warm_up=0, once=100)
    assert sorted(server[1]) == sorted(bodies)
    assert (found.requests, found.statuses, found.failed) == (100, {"200": 100}, 0)


def test_every_input_is_another(generator: Generator, server: tuple[str, list[str]], tmp_path: Path) -> None:
    """The stamp is replaced by numbers from the given one on, each once."""
    bodies = [json.dumps({"id": f"REQ-{STAMP}"})] * 3
    asked = target(server[0], tmp_path, bodies)
    generator.run(asked, connections=4, seconds=30, warm_up=0, once=50, stamped_from=7)
    assert sorted(json.loads(body)["id"] for body in server[1]) == [f"REQ-{number:010}" for number in range(7, 57)]


def test_drawn_by_zipfs_law(generator: Generator, server: tuple[str, list[str]], tmp_path: Path) -> None:
    """The first body is drawn about 2 ** 1.1 times as often as the second, and the rare ones are drawn too."""
    bodies = [json.dumps({"id": number}) for number in range(100)]
    generator.run(target(server[0], tmp_path, bodies), connections=2, seconds=2, warm_up=0)
    drawn = Counter(json.loads(body)["id"] for body in server[1])
    assert sum(drawn.values()) > 500
    assert drawn[0] / drawn[1] == pytest.approx(2**1.1, rel=0.3)
    assert len(drawn) > 50


def test_an_answer_that_is_wrong(generator: Generator, server: tuple[str, list[str]], tmp_path: Path) -> None:
    """A 200 without what has to stand in it is a failure, and told with the answer."""
    asked = target(server[0], tmp_path, ['{"id":"wrong"}'])
    with pytest.raises(Refused, match=r'no "id" in \{\}'):
        generator.run(asked, connections=1, seconds=5, warm_up=0, once=3)


def test_an_answer_that_is_refused(generator: Generator, server: tuple[str, list[str]], tmp_path: Path) -> None:
    """A 503 is counted by itself where it is accepted, and fails the run where it is not."""
    asked = target(server[0], tmp_path, ['{"id":1}', '{"id":"refused"}'])
    found = generator.run(asked, connections=1, seconds=5, warm_up=0, once=4, accept=load.OR_REFUSED)
    assert (found.requests, found.refused, found.failed) == (2, 2, 0)
    with pytest.raises(Refused, match="'503': 2"):
        generator.run(asked, connections=1, seconds=5, warm_up=0, once=4)


def test_latency_counts_from_when_it_was_due(
    generator: Generator, server: tuple[str, list[str]], tmp_path: Path
) -> None:
    """At a fixed rate, what waits for a connection that a slow answer holds is late by that."""
    asked = target(server[0], tmp_path, ['{"id":"slow"}'])
    found = generator.run(asked, connections=1, seconds=1, warm_up=0, rate=20)
    assert found.p50 > 300  # 20 are due in the second, and 5 answered: each is later than the one before
    assert found.unsent >= 10
    assert 190 < found.served_p50 <= found.served_p99 < 400  # each of them took as long as the one before


def test_nobody_listens(generator: Generator, tmp_path: Path) -> None:
    """Connections that fail are failures."""
    with pytest.raises(Refused, match="connection refused"):
        generator.run(target("127.0.0.1:1", tmp_path, ['{"id":1}']), connections=1, seconds=1, warm_up=0, once=3)
