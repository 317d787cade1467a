"""What people have learned: results come in here, and Rego says what they are worth."""
