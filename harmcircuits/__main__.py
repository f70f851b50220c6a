"""`python -m harmcircuits`, which is `harmcircuits`: a launcher starts modules."""

from .cli import main

if __name__ == "__main__":
    main()
