"""From a source of YAML and Rego to a checked, signed OPA bundle, and back from the store for a replay."""
