"""Classical judges: scikit-learn's families beside networks, each trained on a set as networks are.

A new one is one class with a `kind` of its own and one line in `JUDGES` (`collabdm.judges.table`).
"""
