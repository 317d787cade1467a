# METADATA
# title: Access
# description: who may call Muster itself
# schemas:
#   - input: schema.access
package muster.access

# METADATA
# description: may this caller do this operation?
# entrypoint: true
# scope: document
decision := {"allow": true, "reason": "granted", "anyone": _anyone} if _granted

decision := {"allow": false, "reason": _why, "anyone": _anyone} if not _granted

default _why := "this role may not do this"

_why := "only who stored it may do this, or an admin" if {
	input.operation in _by_who_stored
	not _storer_fits
}

# Whether the same is said whoever is asked about.
default _anyone := false

_anyone if not _oneself_matters

_oneself_matters if input.operation in _own[input.caller.role]

_oneself_matters if input.operation in _never_for_oneself

_oneself_matters if input.operation in _by_who_stored

_everyone := {"gates.read"}

# A learner's session is for learning and for nothing else.
_known := object.keys(_operations) - {"learner-session"}

_operations := {
	"gateway": {"decide", "search", "decision.read", "certified.ask", "training.next"},
	"app": {
		"decide", "search", "decision.read", "certified.ask", "training.next", "subject.read", "change_window.create",
		"session.create", "attempt.report", "badge.read", "request.store", "request.read", "request.withdraw",
	},
	"author": {"subject.read", "result.import", "module.read", "regrade.propose"},
	"auditor": {
		"decision.read", "subject.read", "token.list", "ledger.read", "ledger.verify", "ledger.checkpoint", "ledger.copy",
		"training.read", "badge.read", "statement.read", "request.read",
	},
	"admin": {
		"decide", "search", "decision.read", "certified.ask", "training.next", "subject.write", "subject.read",
		"result.import", "change_window.create", "waiver.create", "certification.revoke", "token.create",
		"token.list", "token.revoke", "policy.activate", "ledger.read", "ledger.verify", "ledger.checkpoint",
		"ledger.copy", "log.rotate", "alarm.clear", "hold.place", "subject.erase", "clock.adjust", "session.create",
		"training.read", "badge.read", "statement.read", "module.read", "regrade.propose", "regrade.review",
		"accommodation.grant", "ledger.rebuild", "request.store", "request.read", "request.withdraw",
	},
	"person": {"approval.create"},
	"learner-session": set(),
}

# What people may ask about themselves only.
_own := {
	"person": {"decide", "certified.ask", "training.next"},
	"learner-session": {
		"certified.ask", "training.next", "training.read", "module.read", "badge.read", "attempt.start", "attempt.read",
		"attempt.save", "attempt.submit", "attempt.step",
	},
}

# What nobody does for themselves, whatever their role: two principals are compared.
_never_for_oneself := {
	"result.import", "waiver.create", "certification.revoke", "accommodation.grant", "regrade.review", "subject.erase",
	"hold.place",
}

# What is done to a request only by the application that stored it, whatever its token; the target is who stored it.
_by_who_stored := {"request.withdraw"}

default _granted := false

_granted if {
	input.operation in _everyone
	input.caller.role in _known
}

_granted if {
	input.operation in _operations[input.caller.role]
	_principal_fits
	_target_fits
	_storer_fits
}

_granted if {
	input.operation in _own[input.caller.role]
	_oneself
}

_principal_fits if input.operation != "approval.create"

_principal_fits if {
	input.caller.principal.type == "user"
	_named(input.caller.principal)
}

_target_fits if not input.operation in _never_for_oneself

# Asked before the person is known; it is asked again with them.
_target_fits if input.target == null

_target_fits if {
	_named(input.caller.principal)
	_named(input.target)
	not _oneself
}

_storer_fits if not input.operation in _by_who_stored

_storer_fits if input.caller.role == "admin"

# Asked before it is known whether there is such a request; it is asked again with who stored it.
_storer_fits if input.target == null

_storer_fits if {
	_named(input.caller.principal)
	_named(input.target)
	input.target.type == input.caller.principal.type
	input.target.id == input.caller.principal.id
}

_oneself if {
	_named(input.caller.principal)
	input.caller.principal.type == "user"
	input.target.type == "user"
	input.target.id == input.caller.principal.id
}

_named(principal) if {
	is_string(principal.type)
	is_string(principal.id)
}
