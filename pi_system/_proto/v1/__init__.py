"""Version 1 of the messages, generated from ``protos/pi_system/_proto/v1``."""
