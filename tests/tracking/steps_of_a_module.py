"""A step that other processes can import."""

import cmf


@cmf.step
def cube(n: int) -> int:
    return n**3
