"""`python -m rewardtogo` is `rtg`."""

import sys

from .cli.main import main


sys.exit(main())
