"""Many runs: what each is, and how a list of them is carried out."""
