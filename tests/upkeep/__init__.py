"""Upkeep: projections made again, backups, and the way back from them."""
