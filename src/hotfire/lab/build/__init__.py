"""The lab's parts: building them, keeping them, and making images of them."""
