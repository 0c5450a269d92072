"""Whom this node dials and when, and which of two links with one node stays.

- dialling.py: the decision whom to dial. `Dialling.consider` has all conditions for a new dial.
- trials.py: how often a node that never answered is dialled.
- dial_backoff.py: how long a node is not dialled after links with it that ended at once.
- link_selection.py: who of two nodes dials first, and which link is closed when there are two.
- refusals.py: the sentences for users about nodes that cannot be reached or refuse.

`Membership` (mesh/membership/membership.py) calls this package; the node supervisor carries out the `Dial` actions.
"""
