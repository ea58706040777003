"""Messages between the programs, generated from ``protos/`` by ``scripts/protoc``; a folder a version."""
