"""Measures texts and changes them: languages, scores and the rules over them, personal data, repair."""
