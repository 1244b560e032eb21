"""The only door to scikit-learn: residual model, conformal intervals, applicability."""
