# METADATA
# title: What gateways ask beside actions
# description: |
#   a request that no route makes an action of, that cannot be read in one way, or of nobody who is known, is denied by
#   its reason; a CORS preflight, which carries no credentials, passes where its route says so
# schemas:
#   - input: schema.gateway
package muster.gateway

# METADATA
# description: what becomes of a request that is no question to a gate; undefined for a reason that nobody wrote down
# entrypoint: true
# scope: document
decision := {
	"verdict": _verdict,
	"allow": _allow,
	"mode": "enforce",
	"gate": null,
	"policy_id": null,
	"runbook_id": null,
	"denials": _denials,
	"evidence": [],
	"obligations": [],
	"valid_until": null,
}

default _allow := false

# Read from the revision, whatever is asked: a route's own word is what lets a preflight pass.
_allow if {
	input.reason == "preflight"
	some route in data.source.routes[input.route.group]
	route.id == input.route.id
	route.preflight == "pass"
}

_verdict := "allow" if _allow

_verdict := "deny" if not _allow

_denials := [] if _allow

_denials := [denial] if {
	not _allow
	reason := _reasons[input.reason]
	denial := {
		"code": input.reason,
		"title": reason.title,
		"message": reason.message,
		"requirement": {"condition": input.reason},
		"remedy": {"kind": "request", "text": reason.remedy},
	}
}

_reasons := {
	"preflight": {
		"title": "Preflight not passed",
		"message": "The route of this request does not let CORS preflights pass.",
		"remedy": "Ask the security team to write `preflight: pass` at the route.",
	},
	"unknown_route": {
		"title": "Unknown route",
		"message": "No route is written down for this host, method and path, so nobody may pass.",
		"remedy": "Check host, method and path, and their letter case; a security team adds new routes.",
	},
	"ambiguous_ask": {
		"title": "Unclear what is asked about",
		"message": "The gateway did not say once, and in one way, which request it asks about.",
		"remedy": "Ask whoever runs the gateway to use the configuration that Muster prints.",
	},
	"ambiguous_path": {
		"title": "Ambiguous path",
		"message": "Two readers could take the path of this request for two paths.",
		"remedy": "Send the path without dots, empty segments, escaped separators and unusual bytes.",
	},
	"ambiguous_query": {
		"title": "Ambiguous query",
		"message": "Two readers could take the query of this request for two queries.",
		"remedy": "Send each parameter once, by its exact name, with `&` between them.",
	},
	"ambiguous_header": {
		"title": "Ambiguous header",
		"message": "A header that counts here is there twice, joined, or under another spelling.",
		"remedy": "Send the header once, by its exact name.",
	},
	"method_override": {
		"title": "Method override",
		"message": "The request names another method than the one that is judged.",
		"remedy": "Send the request with the method that you mean, and without an override.",
	},
	"missing_context": {
		"title": "Something is missing",
		"message": "The request has not all that its route needs.",
		"remedy": "Send the parameter or header that the answer names.",
	},
	"wrong_type": {
		"title": "Something cannot be read",
		"message": "A parameter or header of the request is not of the type that its route reads.",
		"remedy": "Send the parameter or header that the answer names as the type that it names.",
	},
	"too_long": {
		"title": "Something is too long",
		"message": "A part of the request is longer than a decision can take.",
		"remedy": "Send a shorter path, parameter or header.",
	},
	"no_identity": {
		"title": "Nobody is known",
		"message": "The request does not say who is asking.",
		"remedy": "Sign in, and send the request with your token.",
	},
	"bad_identity": {
		"title": "Not believed",
		"message": "What the request says about who is asking is not believed.",
		"remedy": "Sign in again, and send the request with the new token.",
	},
}
