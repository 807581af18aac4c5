"""Test results of trained networks: scores, intervals, significance tests and figures."""
