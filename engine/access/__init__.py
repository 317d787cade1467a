"""Who is calling, and may they: tokens here, the verdict in Rego (`policies/muster/access`)."""
