"""Everything that depends on samples being rows of a table."""
