"""What people see at the terminal: the worked demo, and decisions as tables."""
