"""The PEFT tuner `neutral_residues`: config, layer, adapter, taps and the sites they stand at."""
