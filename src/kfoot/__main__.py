import sys

from kfoot.cli import main

sys.exit(main())
