"""What can be measured of the images themselves: light, colour, stain, focus, file."""
