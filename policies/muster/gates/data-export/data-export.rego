# METADATA
# title: Data export
# description: customer data leaves only by a trained person, to an allowlisted destination, under a ticket
# schemas:
#   - input: schema.decision
#   - input.context: schema["data-export"].context
#   - input.resource.properties: schema["data-export"].properties
# custom:
#   action: data-export
#   policy_id: POL-DA-003
#   runbook_id: RB-EXPORT-RECALL
#   mode: enforce
#   inputs:
#     subject.active: {source: directory, schema: {type: boolean}}
#     subject.customer: {source: directory, schema: {type: string}}
#     resource.properties.customer: {source: asserted, schema: {type: string, maxLength: 256}}
#     context.destination: {source: asserted, schema: {type: string, maxLength: 512}}
#     context.ticket: {source: asserted, schema: {type: string, maxLength: 64}}
#     context.columns: {source: asserted, schema: {type: array, maxItems: 256, items: {type: string, maxLength: 128}}}
#     context.approvals: {source: asserted, schema: {type: array, maxItems: 16, items: {type: string, maxLength: 64}}}
#   ledger: [approvals]
#   obligations:
#     - {type: runbook, id: RB-EXPORT-RECALL}
#   requirements:
#     - code: export-training
#       title: Data export certification
#       message: Exporting customer data needs the data-export certification, proficient, earned within 12 months.
#       requires: {scope: data-export, tier: proficient, within: P12M}
#       remedy: {kind: lesson, module: secure-data-export}
#     - code: destination-allowlisted
#       title: Allowlisted destination
#       message: The destination is not on the allowlist; personal mail and drives are blocked.
#       remedy: {kind: text, text: Choose an allowlisted destination.}
#     - code: ticket-present
#       title: Request ticket
#       message: An export needs the number of the ticket that asks for it, such as REQ-1234.
#       remedy: {kind: request, text: Open a request ticket and give its number.}
#     - code: customer-named
#       title: Customer named
#       message: An export has to name the customer whose data it touches.
#       remedy: {kind: text, text: Name the customer in the request.}
#     - code: columns-safe
#       title: No secrets in the columns
#       message: The columns have to be known ones of this dataset, without secrets or credentials.
#       remedy: {kind: text, text: Leave out secret and unknown columns.}
#     - code: dual-approval
#       title: Two approvers across customers
#       message: An export of another customer's data needs two active approvers of exactly this request.
#       remedy: {kind: approval, count: 2, policy_id: POL-DATA-RES-002}
#     - code: approvers-independent
#       title: Approved by others
#       message: Nobody approves an export of their own; every approval that is cited has to be somebody else's.
#       remedy: {kind: approval, count: 2, policy_id: POL-DATA-RES-002}
package muster.gates["data-export"]

import data.muster.lib.calendar

met contains "destination-allowlisted" if {
	some destination in data.source.exports.destinations
	destination.id == input.context.destination
}

met contains "ticket-present" if {
	is_string(input.context.ticket)
	regex.match(`^[A-Z]{2,10}-[0-9]{1,10}$`, input.context.ticket)
}

met contains "customer-named" if {
	is_string(input.resource.properties.customer)
	input.resource.properties.customer != ""
}

met contains "columns-safe" if {
	input.resource.type == "dataset"
	is_array(input.context.columns)
	count(input.context.columns) > 0
	columns := data.source.exports.datasets[input.resource.id].columns
	safe := [column | some column in input.context.columns; columns[column] in {"public", "personal"}]
	count(safe) == count(input.context.columns)
}

met contains "dual-approval" if _same_customer

met contains "dual-approval" if _approved

met contains "approvers-independent" if _same_customer

met contains "approvers-independent" if {
	is_array(input.context.approvals)
	every id in input.context.approvals {
		_independent(input.facts.approvals[id])
	}
}

evidence contains approval.evidence if {
	_approved
	some approval in _counting
}

instants contains approval.expires_at if some approval in _cited

_same_customer if {
	is_string(input.subject.customer)
	input.resource.properties.customer == input.subject.customer
}

_approved if {
	not _same_customer
	count({approval.approver | some approval in _counting}) >= 2
}

_cited contains approval if {
	some id in input.context.approvals
	approval := input.facts.approvals[id]
}

_counting contains approval if {
	some approval in _cited
	_independent(approval)
	approval.approver_active == true
	is_string(approval.request_digest)
	approval.request_digest == input.facts.request_digest
	calendar.is_instant(approval.expires_at)
	input.now < approval.expires_at
}

_independent(approval) if {
	is_string(approval.approver)
	is_string(input.subject.ref)
	approval.approver != input.subject.ref
}
