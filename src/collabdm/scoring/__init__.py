"""Scores for any set that somebody else made: read, trained on, and held beside random real samples and all data."""
