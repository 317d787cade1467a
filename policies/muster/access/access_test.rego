package muster.access_test

import data.muster.access as rule

_all := {
	"decide", "decision.read", "certified.ask", "training.next", "subject.write", "subject.read", "result.import",
	"approval.create", "change_window.create", "waiver.create", "certification.revoke", "token.create", "token.list",
	"token.revoke", "policy.activate", "gates.read", "ledger.read", "ledger.verify", "clock.adjust", "session.create",
	"training.read", "module.read", "badge.read", "statement.read", "attempt.start", "attempt.read", "attempt.save",
	"attempt.submit", "attempt.step", "attempt.report", "regrade.propose", "regrade.review", "accommodation.grant",
	"ledger.checkpoint", "ledger.copy", "log.rotate", "alarm.clear", "hold.place", "subject.erase",
	"ledger.rebuild", "search", "request.store", "request.read", "request.withdraw",
}

# What a learner does, and nobody for them.
_learning := {"attempt.start", "attempt.read", "attempt.save", "attempt.submit", "attempt.step"}

_not_an_admins := (_learning | {"approval.create"}) | {"attempt.report"}

_granted := {"allow": true, "reason": "granted"}

_refused := {"allow": false, "reason": "this role may not do this"}

_ana := {"type": "user", "id": "ana"}

_bo := {"type": "user", "id": "bo"}

_system := {"type": "system", "id": "ci"}

test_matrix[note] if {
	some note, tc in {
		"gateway": ["gateway", _system, _bo, {
			"decide", "search", "decision.read", "certified.ask",
			"training.next", "gates.read",
		}],
		"app": ["app", _system, _bo, {
			"decide", "search", "decision.read", "certified.ask", "training.next",
			"subject.read", "change_window.create", "gates.read", "session.create", "attempt.report", "badge.read",
			"request.store", "request.read",
		}],
		"app on what it stored itself": ["app", _system, _system, {
			"decide", "search", "decision.read", "certified.ask", "training.next",
			"subject.read", "change_window.create", "gates.read", "session.create", "attempt.report", "badge.read",
			"request.store", "request.read", "request.withdraw",
		}],
		"author": ["author", _system, _bo, {
			"subject.read", "result.import", "gates.read", "module.read", "regrade.propose",
		}],
		"author on themselves": ["author", _ana, _ana, {
			"subject.read", "gates.read", "module.read", "regrade.propose",
		}],
		"auditor": ["auditor", _ana, _bo, {
			"decision.read", "subject.read", "token.list",
			"gates.read", "ledger.read", "ledger.verify", "training.read", "badge.read", "statement.read",
			"ledger.checkpoint", "ledger.copy", "request.read",
		}],
		"admin on another": ["admin", _ana, _bo, _all - _not_an_admins],
		"admin on themselves": ["admin", _ana, _ana, (_all - _not_an_admins) - {
			"waiver.create", "certification.revoke", "result.import", "accommodation.grant", "regrade.review",
			"subject.erase", "hold.place",
		}],
		"admin before the person is known": ["admin", _ana, null, _all - _not_an_admins],
		"a system as admin": ["admin", _system, _bo, _all - _not_an_admins],
		"person on themselves": ["person", _ana, _ana, {
			"decide", "certified.ask", "training.next",
			"approval.create", "gates.read",
		}],
		"person on another": ["person", _ana, _bo, {"approval.create", "gates.read"}],
		"a system as person": ["person", _system, _system, {"gates.read"}],
		"learner on themselves": ["learner-session", _ana, _ana, (_learning | {
			"certified.ask", "training.next", "training.read", "module.read", "badge.read",
		})],
		"learner on another": ["learner-session", _ana, _bo, set()],
		"a system that is called like the person": [
			"learner-session", {"type": "system", "id": "ana"}, _ana, set(),
		],
		"a person on a system that is called like them": [
			"learner-session", _ana, {"type": "system", "id": "ana"}, set(),
		],
		"learner on nobody": ["learner-session", _ana, null, set()],
		"unknown role": ["root", _ana, _ana, set()],
		"no role": [null, _ana, _ana, set()],
		"ids that are no text": [
			"learner-session", {"type": "user", "id": null},
			{"type": "user", "id": null}, set(),
		],
	}
	may := {operation |
		some operation in _all
		object.remove(rule.decision, {"anyone"}) == _granted with input as {
			"caller": {"tenant": "t", "role": tc[0], "principal": tc[1]},
			"operation": operation,
			"target": tc[2],
		}
	}
	may == tc[3]
}

test_refused[note] if {
	some note, question in {
		"nothing": {},
		"unknown operation": {
			"caller": {"tenant": "t", "role": "admin", "principal": _ana},
			"operation": "everything",
			"target": null,
		},
		"no operation": {"caller": {"tenant": "t", "role": "admin", "principal": _ana}, "target": null},
		"no caller": {"operation": "gates.read", "target": null},
		"a waiver for nobody": {
			"caller": {"tenant": "t", "role": "admin", "principal": _ana},
			"operation": "waiver.create",
		},
		"a waiver by nobody": {
			"caller": {"tenant": "t", "role": "admin"},
			"operation": "waiver.create",
			"target": _bo,
		},
		"an approval by nobody": {
			"caller": {"tenant": "t", "role": "person", "principal": {"type": "user"}},
			"operation": "approval.create",
			"target": null,
		},
	}
	object.remove(rule.decision, {"anyone"}) == _refused with input as question
}

_asked(role, principal, operation, target) := {
	"caller": {"tenant": "t", "role": role, "principal": principal},
	"operation": operation,
	"target": target,
}

# Whoever else stored a request: another application, or a person whose ID is the application's name.
test_only_who_stored_a_request_withdraws_it[note] if {
	some note, tc in {
		"who stored it": ["app", _system, true],
		"before that is known": ["app", null, true],
		"another application": ["app", {"type": "system", "id": "other"}, false],
		"a person who is called like it": ["app", {"type": "user", "id": "ci"}, false],
		"nobody": ["app", {}, false],
		"nobody by name": ["app", {"type": "system", "id": null}, false],
		"an admin": ["admin", {"type": "system", "id": "other"}, true],
		"a gateway of that name": ["gateway", _system, false],
	}
	answer := rule.decision with input as _asked(tc[0], _system, "request.withdraw", tc[1])
	answer.allow == tc[2]
	answer.anyone == false
}

test_whose_request_it_is_is_said if {
	other := {"type": "system", "id": "other"}
	answer := rule.decision with input as _asked("app", _system, "request.withdraw", other)
	answer.reason == "only who stored it may do this, or an admin"
}

# For every question: the same is said of all targets, or it is said that it matters which.
test_who_is_asked_about_matters_where_it_says_so if {
	differ := {[role, operation] |
		some role in {"gateway", "app", "admin", "person", "learner-session", "root"}
		some operation in {
			"decide", "certified.ask", "approval.create", "waiver.create", "attempt.start", "gates.read", "request.withdraw",
		}
		said := {answer |
			some target in [_ana, _bo, _system, null]

			# `with` has no place in the head of a comprehension
			# regal ignore:comprehension-term-assignment
			answer := rule.decision with input as _asked(role, _ana, operation, target)
		}
		count(said) > 1
		some answer in said
		answer.anyone
	}
	differ == set()
}

test_anyone_may_be_asked_about[note] if {
	some note, tc in {
		"a gateway decides": [_asked("gateway", _system, "decide", _bo), true],
		"a person about themselves": [_asked("person", _ana, "decide", _ana), false],
		"never for oneself": [_asked("admin", _ana, "waiver.create", _bo), false],
	}
	answer := rule.decision with input as tc[0]
	answer.anyone == tc[1]
}
