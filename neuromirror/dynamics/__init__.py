"""What single cells do: activation functions, spiking neurons, noise, and the code their rates carry."""
