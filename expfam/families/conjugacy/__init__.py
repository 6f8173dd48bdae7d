"""How conjugate priors of families are normalized: in closed form, or by one integral."""
