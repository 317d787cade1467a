"""Who is asking: tokens of users, and an identity provider of the tests' own that issues them."""
