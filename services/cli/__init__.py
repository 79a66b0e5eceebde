"""The command line `agentmesh`: starts and shows the fleet, publishes commands, reads events and read models, mends what is parked."""
