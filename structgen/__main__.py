"""`python -m structgen` is the command line."""

from structgen.cli import main

if __name__ == "__main__":
    main()
