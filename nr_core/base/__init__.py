"""Parts of a base model.

load_base        a folder, a GGUF file or an id of the hub; language_model: the language model in it, its layers
head             output head and losses, in pieces
precision        of products and of weights, 8 and 4 bits too
"""
