"""`python -m harmcircuits`, which is `harmcircuits`."""

from .cli import app

if __name__ == "__main__":
    app()
