"""Tests of `expfam.models`."""
