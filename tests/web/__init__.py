"""My training, in a real Chromium and by plain HTTP."""
