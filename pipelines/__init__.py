"""What runs, and when: settings, steps, the nightly flow, the demo and the command."""
