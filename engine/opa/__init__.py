"""The OPA room: finds or installs the binary, runs it as a watched child, asks it, believes nothing unchecked."""
