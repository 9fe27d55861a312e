"""stance status: what is in place, what is missing, and the command that comes next."""
