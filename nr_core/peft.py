"""The PEFT method `neutral_residues`: importing this module registers it.

    import nr_core.peft
    model = get_peft_model(base, nr_core.peft.NeutralResiduesConfig(budget=0.2))

save_pretrained, PeftModel.from_pretrained, disable_adapter, several adapters at once, generate and the hub then work as
for LoRA. Written against peft 0.21 (https://github.com/huggingface/peft). An adapter without a gate can be merged (it
becomes more width of the FFN), a gated one cannot: its gate depends on the token.
"""

from nr_core.tuner.config import NeutralResiduesConfig
from nr_core.tuner.layer import find_taps, skip_closed_gates
from nr_core.tuner.model import NeutralResiduesModel

__all__ = ["NeutralResiduesConfig", "NeutralResiduesModel", "find_taps", "skip_closed_gates"]
