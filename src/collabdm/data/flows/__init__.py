"""Network flows: a declared schema, a streaming reader, windows, images, and a generator of synthetic flows."""
