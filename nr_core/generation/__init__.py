"""Text that models write.

generate         for people, token by token; own_text: as replay in place of the base's training data
"""
