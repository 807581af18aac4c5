"""Benchmarks: docs/performance.md, docs/statistics.md and docs/labels.md show what they measured.

    python -m benchmarks.speed      one experiment, against a plain PyTorch loop and the floor
    python -m benchmarks.accuracy   whether the engine is as accurate as that loop, over many seeds
    python -m benchmarks.recipes    one preset against another: seconds and accuracy, over seeds
    python -m benchmarks.table      every experiment of params.yaml
    python -m benchmarks.scaling    time and memory as images, subjects or epochs grow
    python -m benchmarks.heads      heads trained in one call, against one call each
    python -m benchmarks.convolutions  training steps with our convolutions, against torch's
    python -m benchmarks.compiler   training steps with torch.compile, against eager ones
    python -m benchmarks.tuning     the search, against trials trained one after the other
    python -m benchmarks.workers    one search by several workers on PostgreSQL
    python -m benchmarks.libraries  augmentation and imports, against the libraries' own
    python -m benchmarks.screenshots  no measurement: the images of pages that docs/ shows
    python -m benchmarks.peers      other libraries on the same faces, each in its own environment
    python -m benchmarks.startup    every command from its start to its exit
    python -m benchmarks.serving    a running server, asked by one client and by many at once
    python -m benchmarks.significance  how often the report's tests and intervals err
    python -m benchmarks.labels     how many planted wrong labels are found
    python -m benchmarks.gpu        all there is to measure on a GPU in ten minutes, without data

Each has `--help`; all but libraries, serving, significance and gpu run on the data of the project
in the working directory, which `dvc repro embed` makes.
"""
