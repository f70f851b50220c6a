"""`python -m harmcircuits`, which is `harmcircuits`."""

from .cli import main

if __name__ == "__main__":
    main()
