"""Policies that somebody is writing: looked over, tried, tested and replayed over HTTP. Nothing of it decides anything."""
