"""Training a base and its extensions.

train            the job of a method, load_and_extend: what it begins with; pretrain: that of a base
loop             the steps: read it first; batches, loss, optimiser: its parts
step_figures     the columns of a step; tracking: the same for wandb, trackio, MLflow
forgetting       the bound on forgetting; shut_gates: gates that would learn nothing
checkpoints      going on after a stop; distributed: several devices; flops: operations of a step
trimmed_vocabulary    training on the rows of the vocabulary that the inputs use
"""
