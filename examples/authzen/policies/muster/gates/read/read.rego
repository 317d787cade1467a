# METADATA
# title: Read a record
# description: every record that the source lists may be read
# custom:
#   action: read
#   policy_id: POL-RECORDS
#   runbook_id: RB-RECORDS
#   mode: enforce
#   inputs: {}
#   requirements:
#     - code: record-listed
#       title: A record of the fixture
#       message: Only a record that the source lists can be read.
#       remedy: {kind: text, text: Name a record of entities.yaml.}
package muster.gates.read

met contains "record-listed" if {
	input.resource.type == "record"
	data.source.entities.record[input.resource.id]
}
