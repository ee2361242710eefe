"""What commands of the command line do once their options are read."""
