"""What is compared, one module each."""
