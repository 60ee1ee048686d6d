"""Training a base and its extensions.

train            the job of a method; pretrain: that of a base; load_and_extend: what both begin with
loop             the steps: read it first; batches, loss, optimiser: its parts
step_figures     the columns of a step; tracking: the same for wandb, trackio, MLflow
forgetting       the bound on forgetting; shut_gates: gates that would learn nothing
checkpoints      going on after a stop; distributed: several devices; flops: operations of a step
trimmed_vocabulary    training on the rows of the vocabulary that the inputs use
"""
