"""Content: what is drawn, counted, and found wrong."""
