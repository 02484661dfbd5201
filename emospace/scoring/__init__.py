"""Any method's videos scored against the true ones by the metric protocol."""
