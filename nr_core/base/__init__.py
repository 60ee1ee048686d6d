"""Parts of a base model: the language model in it, its head in pieces, precision, quantization, vocabulary."""
