"""The report: one HTML page with the comparison, its charts and the worst mistakes."""
