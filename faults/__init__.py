"""What the pipeline must survive: damaged input, kills, full disks, NaN in a training."""
