"""Learning, through the running service as a learner, a host's backend and an author use it."""
