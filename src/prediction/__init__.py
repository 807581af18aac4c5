"""Answers about photos: finding and decoding them, printing answers, explaining them."""
