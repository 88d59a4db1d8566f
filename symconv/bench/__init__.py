"""Times modules against what else is installed."""
