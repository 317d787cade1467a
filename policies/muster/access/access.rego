# METADATA
# title: Access
# description: who may call Muster itself
package muster.access

# METADATA
# description: may this caller do this operation?
# entrypoint: true
decision := {"allow": true, "reason": "granted"} if {
	_granted
} else := {"allow": false, "reason": "this role may not do this"}

_everyone := {"gates.read"}

_operations := {
	"gateway": {"decide", "decision.read", "certified.ask", "training.next"},
	"app": {"decide", "decision.read", "certified.ask", "training.next", "subject.read", "change_window.create"},
	"author": {"subject.read", "result.import"},
	"auditor": {"decision.read", "subject.read", "token.list", "ledger.read", "ledger.verify"},
	"admin": {
		"decide", "decision.read", "certified.ask", "training.next", "subject.write", "subject.read", "result.import",
		"change_window.create", "waiver.create", "certification.revoke", "token.create", "token.list", "token.revoke",
		"policy.activate", "ledger.read", "ledger.verify", "clock.adjust",
	},
	"person": {"approval.create"},
	"learner-session": set(),
}

# What people may ask about themselves only.
_own := {
	"person": {"decide", "certified.ask", "training.next"},
	"learner-session": {"certified.ask", "training.next"},
}

# What nobody does for themselves, whatever their role: two principals are compared.
_never_for_oneself := {"result.import", "waiver.create", "certification.revoke"}

_granted if {
	input.operation in (_operations[input.caller.role] | _everyone)
	_principal_fits
	not _for_oneself
}

_granted if {
	input.operation in _own[input.caller.role]
	_oneself
}

_principal_fits if input.operation != "approval.create"

_principal_fits if input.caller.principal.type == "user"

_for_oneself if {
	input.operation in _never_for_oneself
	_oneself
}

_oneself if {
	input.target.type == "user"
	input.caller.principal.type == "user"
	input.target.id == input.caller.principal.id
}
