"""Networks behind the metrics: protocols, the published networks from their own files, the toy world's small judges."""
