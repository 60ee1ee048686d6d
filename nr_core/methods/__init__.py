"""Methods and rivals. Their records: nr_core.settings.method_table; extend puts one on a base.

finetune, adapters (neutral residues too), lora, block_expansion     a method each
kl_to_base, distillation        terms of the loss
weight_rules                    what is done to gradients and weights at each step, and between base and finetuned model
"""

from nr_core.methods.extend import extend
from nr_core.settings.method_table import METHODS

__all__ = ["METHODS", "extend"]
