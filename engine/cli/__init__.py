"""The `muster` command: parse, call, render. What is machine-readable goes to stdout, words and progress to stderr."""
