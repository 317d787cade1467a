# METADATA
# title: Production change
# description: production changes by trained operators only, in a window that was declared for the resource
# schemas:
#   - input: schema.decision
#   - input.context: schema["prod-change"].context
# custom:
#   action: prod-change
#   policy_id: POL-CHG-001
#   runbook_id: RB-CHANGE-ROLLBACK
#   mode: enforce
#   inputs:
#     subject.active: {source: directory, schema: {type: boolean}}
#     context.change: {source: asserted, schema: {type: string, maxLength: 64}}
#     context.change_window: {source: asserted, schema: {type: string, maxLength: 64}}
#   ledger: [change_windows]
#   scopes: [prod-change]
#   obligations:
#     - {type: runbook, id: RB-CHANGE-ROLLBACK}
#   requirements:
#     - code: core-training
#       title: Operations Core
#       message: A production change needs the Operations Core track, completed within nine months.
#       requires: {track: operations/core, tier: completed, within: P9M}
#       remedy: {kind: lesson, module: incident-response}
#     - code: advanced-training
#       title: Operations Advanced
#       message: A production change needs the Operations Advanced track, proficient within nine months.
#       requires: {track: operations/advanced, tier: proficient, within: P9M}
#       remedy: {kind: lesson, module: change-simulation}
#     - code: not-revoked
#       title: Not revoked
#       message: The prod-change certification has been revoked and has to be earned anew.
#       remedy: {kind: request, text: Talk to your manager about earning the certification anew.}
#     - code: change-window
#       title: Change window
#       message: A production change needs a declared change window for this resource that is open now.
#       remedy: {kind: request, text: Declare a change window for the resource and cite its ID.}
#     - code: change-ticket
#       title: Change ticket
#       message: A production change needs the number of its change ticket, such as CHG-1234.
#       remedy: {kind: request, text: Open a change ticket and give its number.}
package muster.gates["prod-change"]

import data.muster.lib.calendar

met contains "not-revoked" if input.facts.scopes["prod-change"].standing in {"none", "good"}

met contains "change-window" if _open

met contains "change-ticket" if {
	is_string(input.context.change)
	regex.match(`^[A-Z]{2,10}-[0-9]{1,10}$`, input.context.change)
}

evidence contains _window.evidence if _open

instants contains _window.starts_at

instants contains _window.ends_at

_window := input.facts.change_windows[input.context.change_window]

_open if {
	calendar.is_instant(_window.starts_at)
	calendar.is_instant(_window.ends_at)
	_window.starts_at <= input.now
	input.now < _window.ends_at
	is_array(_window.resources)
	{"type": input.resource.type, "id": input.resource.id} in _window.resources
}
