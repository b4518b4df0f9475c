"""The slices that keep parallel tests apart."""
