"""Adapters: each turns a protocol into a Request of `engine.decide` and an answer back, and knows nothing else."""
