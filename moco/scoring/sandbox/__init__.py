"""Execution of code that models wrote, apart from the rest of the machine."""
