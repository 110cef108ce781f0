"""What is matched, and how: statistics of embeddings, their aggregation, the hot path, one step."""
