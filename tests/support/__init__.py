"""What tests share: small models, corpora, packs, steps and recipes. Imported by its whole name."""
