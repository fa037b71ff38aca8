"""What strangers cost: the attacks of the audit, with their price for attacker, server and bystander."""
