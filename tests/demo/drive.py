"""`make demo`: drives a running service through the whole story, and fails if a step is not as told.

Every request and answer is printed. People are made afresh each time, so it can be run again and again.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.demo import learner
from tests.demo.story import DESTINATION, LESSON, SCENARIO, Story, codes, expect, export, instant, step


def first_denial(story: Story) -> None:
    """without training, every denial at once."""
    directory = {"persona": "engineers", "customer": "acme"}
    for person in (story.engineer, story.operator, *story.approvers):
        story.call("admin", "PUT", f"/v1/subjects/{person}", directory)
    answer = export(story)
    expect(not answer["allow"] and answer["verdict"] == "deny", "the untrained engineer was not denied")
    expect(codes(answer) == {"export-training"}, f"expected only the training to be missing, got {codes(answer)}")
    denial = answer["denials"][0]
    wanted = {"scope": "data-export", "tier": "proficient", "within": "P12M"}
    expect(denial["requirement"] == wanted, "the requirement is not the mission's")
    expect(bool(denial["title"] and denial["message"]), "a denial without title or message")
    expect(denial["remedy"].get("module") == LESSON, "the remedy is not the micro-lesson")
    expect(answer["policy_id"] == "POL-DA-003", "the policy ID is missing")
    everything = story.decide(story.engineer, "data-export", {"type": "dataset", "id": "customers"}, {})
    expect(len(codes(everything)) >= 6, "an empty request does not get every denial at once")
    required = story.call("app", "GET", f"/v1/next-required-training?user={story.engineer}&action=data-export")[
        "required"
    ]
    expect(
        [r["module"] for r in required] == [LESSON, SCENARIO],
        "the way to the certification is another",
    )


def allowed(story: Story) -> None:
    """The same request is allowed now, with its evidence."""
    answer = export(story)
    expect(
        answer["allow"] and answer["verdict"] == "allow" and not answer["denials"],
        "the trained engineer was denied",
    )
    expect(bool(answer["evidence"]) and bool(answer["valid_until"]), "no evidence, or no valid_until")
    for entry in answer["evidence"]:
        story.call("auditor", "GET", f"/v1/ledger/entries/{entry}")
    certified = story.call("app", "GET", f"/v1/is-certified?user={story.engineer}&scope=data-export")
    expect(certified["certified"] and certified["status"] in ("valid", "expiring"), "not certified")


def approval(story: Story, approver: str, request: Any) -> str:
    """An approval under the approver's own credential; returns its ID."""
    token = story.call(
        "admin", "POST", "/v1/tokens", {"role": "person", "principal": f"user:{approver}", "expires": "PT1H"}
    )
    story.tokens[approver] = token["token"]
    return str(story.call(approver, "POST", "/v1/approvals", request)["approval_id"])


def conditions(story: Story) -> None:
    """Each further condition, broken and mended."""
    broken: list[tuple[dict[str, Any], str]] = [
        ({"destination": "mailto:me@home.example"}, "destination-allowlisted"),
        ({"without": "ticket"}, "ticket-present"),
        ({"without": "customer"}, "customer-named"),
        ({"columns": ["customer_id", "password_hash"]}, "columns-safe"),
    ]
    for changed, code in broken:
        answer = export(story, **changed)
        expect(not answer["allow"] and code in codes(answer), f"{code} did not deny")
        expect(export(story)["allow"], f"mending {code} did not help")
    answer = export(story, customer="globex")
    expect("dual-approval" in codes(answer), "an export across customers needs two approvers")
    request = {
        "subject": {"type": "user", "id": story.engineer},
        "action": {"name": "data-export"},
        "resource": {"type": "dataset", "id": "customers", "properties": {"customer": "globex"}},
        "context": {"destination": DESTINATION, "ticket": "REQ-2041", "columns": ["customer_id", "country"]},
    }
    first, second = (approval(story, a, request) for a in story.approvers)
    own = approval(story, story.engineer, request)
    answer = export(story, customer="globex", approvals=[first])
    expect("dual-approval" in codes(answer), "one approver was enough")
    answer = export(story, customer="globex", approvals=[first, own])
    expect("approvers-independent" in codes(answer), "the requester could approve")
    expect("dual-approval" in codes(answer), "the requester counted as an approver")
    answer = export(story, customer="globex", approvals=[first, second])
    expect(answer["allow"], "two approvers were not enough")
    expect({first, second} <= set(answer["evidence"]), "the approvals are not among the evidence")
    answer = export(story, customer="initech", approvals=[first, second])
    expect("dual-approval" in codes(answer), "approvals of another export were taken")


def production_change(story: Story) -> None:
    """Ops Core completed and Advanced proficient within nine months, in a declared change window."""
    resource = {"type": "service", "id": "billing"}
    window = {
        "title": "billing schema",
        "reason": "CHG-77",
        "starts_at": instant(-timedelta(hours=1)),
        "ends_at": instant(timedelta(hours=1)),
        "resources": [resource],
    }
    declared = story.call("admin", "POST", "/v1/change-windows", window)["change_window_id"]
    context = {"change": "CHG-77", "change_window": declared}
    answer = story.decide(story.operator, "prod-change", resource, context)
    expect(codes(answer) == {"core-training", "advanced-training"}, f"got {codes(answer)}")
    required = story.call("app", "GET", f"/v1/next-required-training?user={story.operator}&action=prod-change")[
        "required"
    ]
    rows = ["user,module,version,tier,passed_at,reason,provenance"]
    for need in required:
        rows.append(
            f"{story.operator},{need['module']},1.0.0,{need['tier_after']},{instant(-timedelta(days=30))},"
            "runbook week,ops academy"
        )
    path = story.home / "demo-learning.csv"
    path.write_text("\n".join(rows) + "\n", "utf-8")
    story.muster("learn", "import", str(path))
    path.unlink()
    answer = story.decide(story.operator, "prod-change", resource, context)
    expect(answer["allow"], f"the trained operator was denied: {codes(answer)}")
    answer = story.decide(story.operator, "prod-change", resource, {"change": "CHG-77"})
    expect(codes(answer) == {"change-window"}, "a change without a window was not denied for it")
    answer = story.decide(story.operator, "prod-change", {"type": "service", "id": "search"}, context)
    expect(codes(answer) == {"change-window"}, "a window of another service was taken")


def audit(story: Story) -> None:
    """Every decision again, and the log whole."""
    story.muster("replay")
    expect(": whole" in story.muster("ledger", "verify"), "verify does not say that the log is whole")


def main() -> int:
    """Tell the story against the service of `MUSTER_HOME`."""
    home = Path(os.environ.get("MUSTER_HOME", ".muster")).absolute()
    if not (home / "demo.env").exists():
        print(f"no {home}/demo.env: start the service with `make run` in another terminal", file=sys.stderr)
        return 2
    story = Story(home)
    steps = [
        ("Without training, a data export is denied, for every reason at once", first_denial),
        ("The lesson is read, and the quiz is failed by one answer: what to read again is told", learner.failed),
        ("The quiz is passed: completed, and still denied, since proficient is asked", learner.passed),
        ("The scenario, step by step: proficient, certified, allowed on the very next call", learner.scenario),
        ("A badge that anybody can check", learner.credentials),
        ("The same request is allowed, with the evidence that proves it", allowed),
        ("Each further condition, broken and mended", conditions),
        ("A production change: Ops Core and Advanced within nine months, brought in from elsewhere", production_change),
        ("Every decision again, byte for byte, and the log whole", audit),
    ]
    for number, (title, tell) in enumerate(steps, 1):
        with step(number, title):
            tell(story)
    print("\nAs told.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
