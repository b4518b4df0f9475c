"""What each of the three agents decides about recipients and messages. One `Door` a role."""
