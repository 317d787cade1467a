"""What the verifier says of bytes that it cannot take.

Invalid        malformed, or not signed by whom it should be; its text names the place
"""


class Invalid(Exception):
    """Bytes that are not what they have to be; the sentence says which and why."""
