"""The method: gated adapters that stay silent on the original language, and what trains and measures them.

The room stands alone: it needs torch, transformers, peft, tokenizers and pyarrow, and none of the other rooms.
Importing this package imports none of those; `import nr_core.peft` registers the tuner `neutral_residues` with PEFT,
after which
`PeftModel.from_pretrained` reads adapters trained here.

    settings     what a user sets                         peft       the tuner, the site finder is in sites, the
    formulas in adapter tokens       text to token streams, and tokenizers    methods    finetune, lora, adapter,
    neutral_residues: one table models       loading bases and trained runs           train      the training loop,
    pretrain a small base model evaluate     bits per byte, gate activity             __main__   `python -m nr_core
    pretrain|train|evaluate SPEC.json ...`
"""
