# METADATA
# title: Write a record
# description: Alice writes what is active, an admin what is archived
# custom:
#   action: write
#   policy_id: POL-RECORDS
#   runbook_id: RB-RECORDS
#   mode: enforce
#   inputs:
#     subject.properties.role: {source: asserted, schema: {type: string, maxLength: 256}}
#     resource.properties.status: {source: asserted, schema: {type: string, maxLength: 256}}
#   requirements:
#     - code: may-write
#       title: May write this record
#       message: Alice writes active records, and an admin writes archived ones.
#       remedy: {kind: request, text: Ask somebody who may.}
package muster.gates.write

met contains "may-write" if {
	input.subject.type == "user"
	input.subject.id == "alice"
	input.resource.type == "record"
	input.resource.properties.status == "active"
}

met contains "may-write" if {
	input.subject.properties.role == "admin"
	input.resource.type == "record"
	input.resource.properties.status == "archived"
}
