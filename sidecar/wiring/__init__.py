"""The only place that names concrete classes: what each kind of process is made of."""
