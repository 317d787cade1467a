"""My training: pages over the same rooms as the API, rendered here, small, and whole without a script."""
