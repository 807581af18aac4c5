"""The page of `make demo`, for this machine alone: whose face a photo shows, and labels in doubt.

`guard` keeps other sites and requests without end away, `answers` asks the network, `doubts` lists
images whose label is in doubt and keeps what is decided about them, and `app` joins them.
"""
