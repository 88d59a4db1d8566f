"""Plan to module, derivation to document: fills templates and decides nothing."""
