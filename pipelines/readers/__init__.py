"""Readers of manifests that other toolkits write: one module a toolkit, tables out."""
