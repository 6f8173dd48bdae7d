"""Tests of `expfam.harmonium`."""
