"""Writes closed rollouts of decision logs into the artifact store, and then takes old records out of the cluster."""
