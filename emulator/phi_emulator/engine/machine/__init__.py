"""What a machine has for a model: processors, memory, devices, and how many requests are worthwhile side by side."""
