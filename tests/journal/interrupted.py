"""Records in the current folder, interrupted at a random moment of each call, as by someone at the keyboard."""

import random
import signal
import time

import cmf

TIMES = 150


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


signal.signal(signal.SIGALRM, interrupt)
interrupted = 0
with cmf.run("digits", "train") as run:
    for number in range(TIMES):
        returned = False
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.004))
            run.set(**{f"p{number}": number})
            returned = True
            time.sleep(60)  # exactly one interrupt comes, in the call or here
        except KeyboardInterrupt:
            interrupted += not returned
    print(interrupted)
