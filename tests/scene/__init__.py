"""The installation that the pictures in the documentation are of: calm at first, then in trouble."""
