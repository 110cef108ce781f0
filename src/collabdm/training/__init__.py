"""One classifier trained on one set: the loop, the recipes, the scores, and the differentiable form."""
