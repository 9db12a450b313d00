"""Looking into the engine with SQL: read-only views over what is stored."""
