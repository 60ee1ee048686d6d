"""Finished runs: loading them, building on them, the card that describes them."""
