"""What the pipeline must survive: damaged input, kills, full disks, numbers that are none."""
