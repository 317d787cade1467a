"""Configurations of other people's gateways, with which each request is asked of Muster before an application sees it.

Owns: the templates, what may be put into them, and what of it each gateway can do. Refuses every value that could end
the string or the line it is put into. Knows nothing of the service: what it prints is tested with the real gateways.
"""
