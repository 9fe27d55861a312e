"""What every other folder may use: errors, files, settings, console, signals, text."""
