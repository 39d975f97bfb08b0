"""Recording without saying it call by call: decorated functions, and programs that are watched from outside."""
