"""`python -m cmf.cli` is `cmf`."""

import sys

from cmf.cli import main

sys.exit(main())
