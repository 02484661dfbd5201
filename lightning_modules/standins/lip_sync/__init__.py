"""The lip-sync expert inside the losses of EAC and HEF: trained on the clips that these train on."""
