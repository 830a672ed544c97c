"""Others that do the same work, beside this project: same machine, same weights, one run."""
