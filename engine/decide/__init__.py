"""From a request to a recorded decision; knows no protocol and no screen."""
