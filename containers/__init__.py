"""HOW one step works on two folders, and the engines and images that run it.

Belongs here: the step contract, the steps, container engines, image building.
Does not belong here: anything that talks to XNAT.
"""
