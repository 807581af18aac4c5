"""The page that answers the question: tables, charts and the worst mistakes, in one file."""
