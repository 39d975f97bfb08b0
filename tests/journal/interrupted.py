"""Records in the current folder, interrupted at a random moment of each call, as by someone at the keyboard."""

import random
import signal
import time

import cmf

TIMES = 150
MEASURED = 20


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


signal.signal(signal.SIGALRM, interrupt)
interrupted = 0
with cmf.run("digits", "train") as run:
    began = time.perf_counter()
    for number in range(MEASURED):
        run.set(**{f"m{number}": number})
    call = (time.perf_counter() - began) / MEASURED  # however slow the machine is, about half the moments fall into it
    for number in range(TIMES):
        returned = False
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.01, 2) * call)
            run.set(**{f"p{number}": number})
            returned = True
            time.sleep(60)  # exactly one interrupt comes, in the call or here
        except KeyboardInterrupt:
            interrupted += not returned
    print(interrupted)
