"""Outputs that leave while they are made, and nothing that a run over the whole text would have cut.

`events` is what a caller gets, `plan` which mode a policy allows, `window` what of one output may leave, `engine` the way of a
request. docs/design/streaming.md says what is promised.
"""
