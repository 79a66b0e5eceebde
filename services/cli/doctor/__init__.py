"""Looks at everything that a mesh needs and says of each thing whether it is well, why not and what to do; the work behind `doctor`.

One module a concern: each asks, and judges in pure functions. All checks run side by side, each within its time.
"""
