"""Text that models write: for people, and as replay in place of the base's training data."""
