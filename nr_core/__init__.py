"""The method: gated adapters that stay silent on the original language, and what trains and measures them.

    peft           `import nr_core.peft` registers the tuner `neutral_residues` with PEFT
    tuner/         the tuner: config, layer, model; adapter has the formulas, adapter_sites finds the FFN of any decoder
    methods/       extend, by the table in settings/; finetune, adapters, LoRA, block expansion; KL to the base, SSU
    training/      train and pretrain; loop, loss, batches, forgetting budget, checkpoints, several devices
    evaluation/    bits per byte, behaviour against the base, tasks/
    base/          a base: loading it, its language model, head, precision, quantization
    tokenization/  tokenizers, texts to token streams, new tokens;  generation/: text that models write
    runs/          finished runs: loading, building on them, their card
    trainer        the local loss in a trainer of your own
    settings/      what a user sets; specs: what one job of `python -m nr_core` is given

It needs torch, transformers, peft, tokenizers and pyarrow, and no other package of this project. Importing it imports
none of those.
"""

from nr_core.former_names import FORMER_NAMES, keep_old_names

keep_old_names(FORMER_NAMES)
