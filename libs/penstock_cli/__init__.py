"""The command `penstock`: one module for each verb, loaded only when it is asked for."""
