"""Gives every recorded answer again, from the record alone, to somebody who trusts nobody."""
