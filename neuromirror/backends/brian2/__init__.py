"""The Brian2 backend: spiking leaky integrate-and-fire cells."""
