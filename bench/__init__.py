"""What cmf costs: each figure measured beside its limit, in the same run.

    python bench/run.py            the whole, ten minutes; writes docs/benchmarks.md
    python bench/run.py --quick    two minutes

A limit is the same work done with nothing of ours in between: the same bytes, the same rows, the same statements. What
is compared is run in turns (A B A B …), so that a busy machine slows both, and medians are told.
"""
