"""Measurements that are run by hand: numbers to look at, none of which anything depends on."""
