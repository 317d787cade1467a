package muster.training

import data.muster.certification

# METADATA
# description: My training, a person's tracks, certifications and what to take next
# entrypoint: true
overview := {"tracks": _tracks, "scopes": _scopes, "due": _due}

_persona := data.source.personas[input.subject.persona]

_tracks := [{
	"id": id,
	"title": track.title,
	"level": track.level,
	"modules": modules,
	"done": count([module | some module in modules; module.done]),
	"of": count(modules),
} |
	some id in [_persona.core, _persona.advanced]
	track := data.source.tracks[id]
	modules := [_row(part) | some part in track.modules]
]

_row(part) := {
	"module": part.module,
	"tier": part.tier,
	"done": count(_passes(part)) > 0,
	"passed_at": passed_at,
	"evidence": evidence,
} if {
	[passed_at, evidence] := max({[null, null]} | _passes(part))
}

# Every pass of a module at a tier or a higher one, whenever, that no regrade has ended.
_passes(part) := {[fact.passed_at, fact.evidence] |
	some tier, fact in _facts.modules[part.module]
	certification.rank[tier] >= certification.rank[part.tier]
	every until in certification.cut(fact) {
		_now < until
	}
}

_scopes := [{
	"scope": scope,
	"title": rule.title,
	"status": standing.status,
	"tier": _reached(scope),
	"issued_at": standing.issued_at,
	"expires_at": standing.expires_at,
	"evidence": standing.evidence,
} |
	some scope, rule in data.source.scopes
	standing := _standings[scope]
]

_standings[scope] := certification.standing(_asked(scope), _facts, _now) if some scope, _ in data.source.scopes

_asked(scope) := {
	"scope": scope,
	"tier": [tier | some tier in [_reached(scope), "certified"]; tier != null][0],
	"within": certification.usual_window(scope),
}

default _reached(_) := null

_reached(scope) := certification.tiers[max(_ranks(scope))]

_ranks(scope) := {certification.rank[tier] | some tier, _ in _facts.scopes[scope].tiers}

_due := _once(array.concat(_core, _renewals))

# What is missing of the core track, unless it is waived.
_core := [{"module": row.module, "tier": row.tier, "why": "missing", "by": null, "reason": track.title} |
	some track in _tracks
	track.level == "core"
	not certification.waiver({"track": track.id}, _facts, _now)
	some row in track.modules
	not row.done
	not certification.waiver({"module": row.module}, _facts, _now)
]

# What has expired is due as it was while it was expiring.
_renewals := [object.union(step, {"reason": data.source.scopes[scope].title}) |
	some scope, standing in _standings
	standing.status in {"expiring", "grace", "expired"}
	some step in certification.steps(_asked(scope), _facts, _now)
]
