# METADATA
# title: Access
# description: who may call this decision point
package muster.access

# METADATA
# description: may this caller do this operation?
# entrypoint: true
# scope: document
decision := {"allow": true, "reason": "granted", "anyone": true} if _granted

decision := {"allow": false, "reason": "this role may not do this", "anyone": true} if not _granted

# The same whoever is asked about: that is what `anyone` says.
default _granted := false

_granted if input.operation in _operations[input.caller.role]

_asks := {"decide", "search", "decision.read", "gates.read"}

_reads := {"decision.read", "gates.read", "ledger.read", "ledger.verify", "ledger.checkpoint", "ledger.copy"}

_operations := {
	"gateway": _asks,
	"app": _asks,
	"auditor": _reads,
	"admin": ((_asks | _reads) | {"token.create", "token.list", "token.revoke", "policy.activate"}),
}
