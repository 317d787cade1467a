"""Upkeep of a home: its projections made again, a backup of it, and the way back from one."""
