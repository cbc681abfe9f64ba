"""Dashboards, recording rules and alerts in one bundle, made from the metric contract and one config."""
