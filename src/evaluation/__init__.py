"""How good a trained network is, how sure that is, and whether a difference is beyond chance."""
