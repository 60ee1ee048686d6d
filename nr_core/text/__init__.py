"""Text to token streams, and text that models write."""
