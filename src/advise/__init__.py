"""Advice on which experiment suits a dataset, from its size and similarity, before training."""
