"""AME: one space of emotion for text, image and audio, and the intensity token."""
