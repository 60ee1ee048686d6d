"""Training a base and its extensions: loop, loss, batches, optimiser, checkpoints."""
