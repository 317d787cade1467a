"""What leaves Muster in standard form, made from the ledger alone: badges, their status, xAPI statements."""
