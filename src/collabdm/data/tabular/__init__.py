"""Tables: their declared columns, and reading rows by them."""
