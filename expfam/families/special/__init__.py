"""Special functions that keep their digits at every size of the arguments."""
