"""`make gpu`: what a machine with a GPU is asked, in steps that can be resumed."""
