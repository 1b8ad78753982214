"""`python -m tenderline`."""

from tenderline.cli import main

main()
