"""Entries that people and systems make under their own principal: everything in the ledger but decisions and awards."""
