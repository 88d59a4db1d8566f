"""The language that every other room speaks: contractions, programs, graphs, and their meaning."""
