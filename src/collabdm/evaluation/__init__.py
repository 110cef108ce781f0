"""How good a set is: fresh networks trained on it and tested on real data, resumably."""
