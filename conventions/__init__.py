"""What every floor of the house agrees on: rates, emotion names, errors, whole files. Imports nothing of emospace."""
