"""The verifier: what an auditor runs, and everything of it. Installed by itself as `muster-verifier`.

It computes everything again from raw bytes by a short path of its own: it imports nothing of the service, not even of
the ledger, so that a mistake of the writer is not repeated here. What it leans on is SHA-256, Ed25519 (`cryptography`)
and canonical JSON (RFC 8785).
"""
