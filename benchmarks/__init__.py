"""How fast the engine is, against the loop a careful person would write, and against the floor."""
