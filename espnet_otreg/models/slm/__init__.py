"""A speech language model: frozen encoder, adapter, frozen language model."""
