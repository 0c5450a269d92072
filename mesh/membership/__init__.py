"""Membership: what a node knows of the other nodes, and what it decides about them. Values in, actions out: no I/O, no clock.

- membership.py: `Membership` takes each report (a sighting, a greeting, a closed session) and returns the actions to do.
- member.py, session_record.py: the two tables that it keeps, of nodes and of sessions. actions.py: the actions.
- dialling/: whom to dial, and when. diagnosis/: what is wrong with the network, a clock, the disk or an identity.
- ended_sessions.py: what follows when a session ends. restart_policy.py: when it, or another failed child, starts again.
- agreement.py: what `mesh wait` waits for. status.py: what `status` shows.
"""
