"""The PEFT tuner `neutral_residues`: config, layer, adapter, taps of activations, and the sites they stand at."""
