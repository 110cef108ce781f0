"""What survives a kill: files that appear whole, tensor files, checkpoints, and results kept for later."""
