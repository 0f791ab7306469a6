"""What Scripts/ratios is made of."""
