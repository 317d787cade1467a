"""The ledger room: canonical bytes, the Merkle log, its stores, the projection and the offline check.

It owns what an entry is and how it becomes durable. It refuses to know what an entry is for: no policy, no
protocol, no screen, and nothing of `engine` is imported here.
"""
