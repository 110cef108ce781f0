"""Time series as a modality: C channels of L steps, and everything that depends on samples being such."""
