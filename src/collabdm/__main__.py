"""`python -m collabdm`: the command line, where the command `collabdm` is not on the path."""

from collabdm.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
