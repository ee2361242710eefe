"""Learning rules: a drive over what one synapse can see, and the updater that owns its rate and decay."""
