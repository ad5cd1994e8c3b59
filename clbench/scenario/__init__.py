"""From labelled collections to tasks: what a scenario is, the protocols that cut one, and who builds it."""
