"""What several questions share: samples side by side, sessions, plots, the arrival experiment."""
