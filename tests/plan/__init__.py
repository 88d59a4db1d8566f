"""Plans for arrays in chunks."""
