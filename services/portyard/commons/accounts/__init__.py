"""Users, their credentials and the SASL mechanisms that prove them."""
