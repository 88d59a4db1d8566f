"""Plans for arrays that are cut into chunks: arithmetic alone."""
