"""The PEFT tuner `neutral_residues`.

adapter          the formulas, gates too; budget: how wide
config, layer, model     what PEFT sees of it
adapter_sites    where adapters go: the FFN or the attention of any decoder
embedding        residues of embeddings; gated_rows: behind gates
activation_taps  what the loss and the figures read of an adapter; wider_ffn: an ungated one as more width
"""
