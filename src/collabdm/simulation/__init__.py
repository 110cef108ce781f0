"""All sites in one process, and several methods side by side."""
