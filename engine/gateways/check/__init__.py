"""`muster gateway check`: is every request that comes through somebody's real gateway one that Muster has allowed?

Owns: an application and a Muster of its own, which the gateway is pointed at for the check, what is sent through it
(what its kind's traps are), and what each finding means. Refuses to send anything but a harmless GET before that has
come out at its own application; speaks to the one address it is given and listens on those it is given.
"""
