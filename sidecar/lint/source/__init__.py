"""What files of a deployment would put into the environment, read before the deployment."""
