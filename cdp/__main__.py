"""``python -m cdp``: the same as the command ``cdp``."""

from cdp.cli import main

if __name__ == "__main__":
    main()
