"""What is measured on texts and done to them: languages, scores and the rules over them, personal data, repair."""
