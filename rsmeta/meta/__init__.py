"""The outer loop: hypergradients of the modulators and the steps along them."""
