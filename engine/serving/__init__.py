"""Runs the service: in one process, or as a parent with its ledger process and any number of workers."""
