"""OpenID AuthZEN Authorization API 1.0: its requests, its answers, its searches and its metadata."""
