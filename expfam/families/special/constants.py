"""Constants of normal densities and of the gamma function."""

LOG_2_PI = 1.8378770664093453
EULER = 0.5772156649015329
