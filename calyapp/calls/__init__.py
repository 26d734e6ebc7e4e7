"""What a call is, for us."""
