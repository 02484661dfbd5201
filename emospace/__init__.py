"""Floor 5: the face of the project: command line and `Talker`."""
