"""Other people's transparency-log tools: how they get here, how they are run, and that they notice what they should."""
