"""Small networks that score (judges) and that shape losses (critics), each trained on people of its own."""
