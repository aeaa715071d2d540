"""`python -m edge_runtime` is the command `earmark`, from a checkout that is not installed."""

from edge_runtime.cli import main

if __name__ == "__main__":
    main()
