"""Which strategy for this dataset? Answered before anything trains, from size and similarity."""
