package muster.gate_test

import data.muster.gate as rule

test_a_way_for_each_requirement_about_training if {
	ways := rule.ways with data.source as object.union(_source, _track)
		with data.metadata.gates as {"act": _gate, "tracked": _tracked, "bare": object.remove(_gate, ["training"])}
	ways.act == {"trained": [_trained]}
	ways.tracked == {"trained": [_trained, object.union(_trained, {"module": "b"})]}
	object.keys(ways) == {"act", "tracked"}
}

test_without_a_way_the_lesson_is_the_one_that_is_named if {
	decision := rule.decision with input as object.union(_request, {"now": _soon})
		with data.source as _source
		with data.metadata as {"gates": {"act": json.remove(_gate, ["training/trained/way"])}, "common": _common}
		with data.muster.gates as _says
	decision.denials[0].remedy == _gate.requirements[0].remedy
}
