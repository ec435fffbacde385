"""How a forward pass is made ready and fast: settings, device, memory, batch shapes, short cuts."""
