"""`python -m footpath.keeper SETTINGS` is how the server starts its keeper."""

from footpath.keeper.loop import main

main()
