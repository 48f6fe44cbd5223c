-- Whose checkpoint it is: the service's name in telemetry; null while only unnamed ones ran it.
ALTER TABLE sidecar.checkpoints ADD COLUMN service text;
