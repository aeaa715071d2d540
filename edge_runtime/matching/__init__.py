"""From a window to what it says: phrases above their thresholds, groups of them, and rules over both."""
