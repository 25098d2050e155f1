# Loaded by name: all of it is in errand's own file.
source (status dirname)/errand.fish
