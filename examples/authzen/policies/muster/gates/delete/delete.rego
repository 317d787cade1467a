# METADATA
# title: Delete a record
# description: Alice deletes softly
# custom:
#   action: delete
#   policy_id: POL-RECORDS
#   runbook_id: RB-RECORDS
#   mode: enforce
#   inputs:
#     action.properties.soft: {source: asserted, schema: {type: boolean}}
#   requirements:
#     - code: may-delete
#       title: May delete this record
#       message: Alice deletes softly; nobody deletes for good.
#       remedy: {kind: text, text: Delete it softly.}
package muster.gates.delete

met contains "may-delete" if {
	input.subject.type == "user"
	input.subject.id == "alice"
	input.resource.type == "record"
	input.action.properties.soft == true
}
